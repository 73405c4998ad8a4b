"""What holds for all tests."""

import atexit
import os
import shutil
import tempfile

# Before anything loads llama.cpp: how long its threads spin while they wait, as in the module's
# settings.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# No test touches the data of the user who runs it; one that starts hosts names a directory itself.
os.environ["LLAMACHAT_DATA_DIR"] = tempfile.mkdtemp(prefix="llamachat-tests-")
atexit.register(shutil.rmtree, os.environ["LLAMACHAT_DATA_DIR"], ignore_errors=True)
