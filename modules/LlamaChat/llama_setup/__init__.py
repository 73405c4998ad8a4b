"""From a bare Python to an environment whose llama.cpp is known to work on this machine.

Invariant: only the standard library is imported here, for nothing is installed yet.
"""
