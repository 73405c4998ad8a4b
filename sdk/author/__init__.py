"""What a module derives from, and what it is told of where it runs."""
