"""LlamaChat's host: it knows commands, queues and modules, and nothing of chat."""

__version__ = "2.0.0"
