"""The import package that everything is installed in; the command is in __main__.py."""
