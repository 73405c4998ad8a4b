"""Who asks: a principal for each request, from keys, sessions, tokens, processes and addresses."""
