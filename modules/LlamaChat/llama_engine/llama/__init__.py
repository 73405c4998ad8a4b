"""llama.cpp's C API: the only room that imports `llama_cpp`."""
