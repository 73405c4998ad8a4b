"""A command in the module, from its claim to its end."""
