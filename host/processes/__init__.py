"""Module processes: launched, watched, launched again, ended with all they started."""
