"""LlamaChat's host: it knows commands, queues and modules, and nothing of chat."""

__version__ = "0.1.0"
