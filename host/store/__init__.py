"""Where commands live: the protocol, and one file for each implementation."""
