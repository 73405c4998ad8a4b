"""What happens to a command, whoever asked for it: accepted, given out, followed, ended."""
