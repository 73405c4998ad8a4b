"""What a host launched ends with it, even when the host is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from world import is_alive

from host.processes import orphans
from host.processes.orphans import OrphanGuard

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has job objects for this")

HASTY = Path(__file__).with_name("hasty_guard.py")
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)\n"
PARENT = f"""
import subprocess, sys
children = [subprocess.Popen([sys.executable, "-c", {STUBBORN!r}]) for _ in range(2)]
print(*(child.pid for child in children), flush=True)
children[0].wait()
"""
HOST = f"""
import os, subprocess, sys
from host.processes import orphans
orphans._SCRIPT = {str(HASTY)!r}
guard = orphans.OrphanGuard()
guard.expect("local-1")
module = subprocess.Popen(
    [sys.executable, "-c", {PARENT!r}], start_new_session=True, stdout=subprocess.PIPE, text=True,
    env={{**os.environ, "ITS_ID": "local-1"}},
)
if "slow" not in sys.argv:
    guard.watch(module.pid, "local-1")
if "forget" in sys.argv:
    guard.forget(module.pid)
print(module.pid, guard._process.pid, module.stdout.readline(), flush=True)
module.wait()
"""


class Family:
    """A host process with a guard, and a module with two children that ignore SIGTERM."""

    def __init__(self, *arguments: str) -> None:
        self.host = subprocess.Popen(
            [sys.executable, "-c", HOST, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.host.stdout is not None
        pids = [int(pid) for pid in self.host.stdout.readline().split()]
        self.module, self.guard, *self.children = pids

    def kill_host(self) -> None:
        self.host.kill()
        self.host.wait()

    def until_gone(self, *pids: int) -> None:
        deadline_s = time.monotonic() + 20
        while any(is_alive(pid) for pid in pids):
            assert time.monotonic() < deadline_s, [pid for pid in pids if is_alive(pid)]
            time.sleep(0.02)

    def end(self) -> None:
        if self.host.poll() is None:
            self.kill_host()
        assert self.host.stdout is not None
        self.host.stdout.close()
        for pid in (self.module, self.guard, *self.children):
            if is_alive(pid):
                psutil.Process(pid).kill()


@pytest.fixture
def family() -> Iterator[Family]:
    made = Family()
    yield made
    made.end()


def test_the_whole_group_ends_when_the_host_is_killed(family: Family) -> None:
    family.kill_host()
    family.until_gone(family.module, *family.children, family.guard)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="nothing shows environments here")
def test_what_was_just_launched_ends_too() -> None:
    """The host is killed before it could say which group it has launched."""
    family = Family("slow")
    try:
        family.kill_host()
        family.until_gone(family.module, *family.children, family.guard)
    finally:
        family.end()


def test_the_guard_is_deaf_to_what_is_for_the_host(family: Family) -> None:
    guard = psutil.Process(family.guard)
    guard.terminate()
    guard.send_signal(1)
    guard.send_signal(2)
    family.kill_host()
    family.until_gone(family.module, *family.children, family.guard)


def test_what_sees_to_its_own_end_is_left_alone() -> None:
    family = Family("forget")
    try:
        family.kill_host()
        family.until_gone(family.guard)
        assert all(is_alive(pid) for pid in (family.module, *family.children))
    finally:
        family.end()


def test_a_guard_that_is_closed_is_gone_and_ends_nothing() -> None:
    before = set(psutil.Process().children())
    module = subprocess.Popen([sys.executable, "-c", STUBBORN], start_new_session=True)
    guard = OrphanGuard()
    guard.expect("local-1")
    guard.watch(module.pid, "local-1")
    guard.forget(module.pid)
    guard.close()
    guard.close()
    assert module.poll() is None
    module.kill()
    module.wait()
    assert set(psutil.Process().children()) <= before


def test_a_guard_that_nobody_closed_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "_SCRIPT", HASTY)
    before = set(psutil.Process().children())
    module = subprocess.Popen([sys.executable, "-c", STUBBORN], start_new_session=True)
    guard = OrphanGuard()
    guard.expect("local-1")
    guard.watch(module.pid, "local-1")
    del guard
    assert module.wait(20) != 0
    assert set(psutil.Process().children()) <= before
