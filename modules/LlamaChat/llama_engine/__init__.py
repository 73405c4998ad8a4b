"""A continuous-batching engine over llama.cpp's C API."""
