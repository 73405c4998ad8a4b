"""What is logged: in memory for the dashboard, and in files."""
