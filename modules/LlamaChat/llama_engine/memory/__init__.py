"""The KV cache: which cells are kept, and for whom."""
