"""What holds for all tests."""

import os

# Before anything loads llama.cpp: how long its threads spin while they wait, as in the module's
# settings.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
