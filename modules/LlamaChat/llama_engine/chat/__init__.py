"""Conversations on an engine."""
