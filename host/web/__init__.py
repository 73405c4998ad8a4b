"""The HTTP side: one file for each audience, all of them readers and writers of the store."""
