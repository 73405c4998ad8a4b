"""From a GGUF file to an engine that is ready."""
