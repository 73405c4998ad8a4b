"""The host as a module sees it: the wire, its client, and what is sent and polled over it."""
