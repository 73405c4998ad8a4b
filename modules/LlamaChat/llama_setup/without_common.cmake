# Read by CMake after llama.cpp's project() line: its library of command-line tools is not used here,
# and takes longer to compile than all the rest. (llama-cpp-python switches it on in the cache; a
# variable of that scope wins.)
set(LLAMA_BUILD_COMMON OFF)
