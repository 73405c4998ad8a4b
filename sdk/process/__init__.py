"""The module as a process: its life, its status, its log, its self-test."""
