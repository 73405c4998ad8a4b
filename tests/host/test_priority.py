"""The host's scheduling policy, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, subprocess, sys
from host.processes.priority import compute_as_usual, let_models_compute
let_models_compute()
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
compute_as_usual(child.pid)
print(os.sched_getscheduler(0) == os.SCHED_BATCH)
print(os.sched_getscheduler(child.pid) == os.SCHED_OTHER)
child.communicate(b"\\n")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's batch policy")
def test_the_host_gives_way_and_its_modules_do_not() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert done.stdout.split() == [b"True", b"True"]
