"""Which model file is used, where it comes from, and whether it fits."""
