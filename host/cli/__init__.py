"""What a person types: the command `llamachat` and its subcommands."""
