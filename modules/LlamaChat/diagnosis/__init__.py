"""What doctor.py looks at: one file for each thing that can be wrong.

Invariant: nothing here imports llama_cpp, nor anything else that may be missing or broken, before
it is needed: that is done in a child process, or where the caller expects it to fail.
"""
