"""What is decided before anything is allocated: where layers lie, how much context there is."""
