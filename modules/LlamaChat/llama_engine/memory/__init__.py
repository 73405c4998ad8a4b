"""Where layers and KV cells lie, which of them are kept, and for whom."""
