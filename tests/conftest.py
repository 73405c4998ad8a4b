"""What holds for all tests."""

import os

# Before anything loads llama.cpp: its threads sleep while they wait, as in the module's settings.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
