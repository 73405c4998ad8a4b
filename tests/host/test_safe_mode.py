"""A module that a fault ends before it is ready is launched once more, in safe mode."""

from __future__ import annotations

import os
import signal
import time

import pytest
from world import RUNS, World

from host.processes.supervisor import ModuleStatus, RestartPolicy, Supervisor

pytestmark = pytest.mark.skipif(os.name != "posix", reason="about signals")

SAYS_MODE = """
import os, signal, sys
mode = "safe" if os.environ.get("CPAI_MODULE_SAFE_MODE") == "true" else "usual"
with open("launches", "a") as file: file.write(mode + " ")
"""
SHOWS_REASON = "print('reason:', os.environ.get('CPAI_MODULE_SAFE_MODE_REASON'), flush=True)\n"


def unless_safe(what: str) -> str:
    """A module that does so in a usual launch, and runs in safe mode."""
    return f"{SAYS_MODE}{SHOWS_REASON}if mode == 'usual': {what}\n{RUNS}"


def always(what: str) -> str:
    return f"{SAYS_MODE}{what}\n"


def killed(name: str = "SIGSEGV") -> str:
    return f"os.kill(os.getpid(), signal.{name})"


def launches(world: World) -> list[str]:
    file = world.folder / "M" / "launches"
    return file.read_text().split() if file.exists() else []


async def ready(world: World, supervisor: Supervisor) -> None:
    """The launch that runs says that it is ready."""
    await world.entry("ready")
    supervisor.mark_ready("M", supervisor.state("M").instance_id)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SIGSEGV", "killed by SIGSEGV (signal 11): a fault in native code"),
        ("SIGILL", "killed by SIGILL (signal 4): a build for another kind of CPU"),
        ("SIGABRT", "killed by SIGABRT (signal 6): native code gave up"),
        ("SIGBUS", "killed by SIGBUS (signal "),
        ("SIGKILL", "killed by SIGKILL (signal 9): probably out of memory"),
    ],
)
async def test_a_signal_before_it_is_ready(world: World, name: str, words: str) -> None:
    supervisor = world.supervisor(world.module(unless_safe(killed(name))))
    await supervisor.start("M")
    await ready(world, supervisor)
    assert launches(world) == ["usual", "safe"]
    assert supervisor.state("M").status is ModuleStatus.STARTED
    assert supervisor.state("M").restarts == 1
    why = f"its usual launch failed: {words}"
    assert (await world.entry("reason: its")).startswith(f"reason: {why}")
    assert (await world.entry("started")).startswith(f"started (safe mode): {why}")
    assert "launched once more, in safe mode," in await world.entry("crashed: killed")


async def test_a_hang_before_it_is_ready(world: World) -> None:
    def clock() -> float:
        """It stands still for the launch in safe mode, however slow the machine is."""
        return 0.0 if world.exits else time.monotonic()

    module = world.module(unless_safe("signal.pause()"), MaxStartSecs=0.05)
    supervisor = world.supervisor(module, clock=clock, timing={"look_every_s": 0.1})
    await supervisor.start("M")
    await ready(world, supervisor)
    assert launches(world)[-1] == "safe"
    assert "(MaxStartSecs)" in await world.entry("started (safe mode): its usual launch failed")


async def test_one_that_dies_in_safe_mode_too_is_given_up_as_usual(world: World) -> None:
    supervisor = world.supervisor(
        world.module(always(killed())), restarts=RestartPolicy(max_failures=4)
    )
    await supervisor.start("M")
    state = await world.status(supervisor, ModuleStatus.CRASHED)
    assert launches(world) == ["usual", "safe", "usual", "usual"], "safe mode was of no use"
    assert state.reason.startswith("crashed 4 times in a row; the last time: killed by SIGSEGV")


@pytest.mark.parametrize("what", ["sys.exit(3)", killed("SIGTERM"), "raise OSError('no model')"])
async def test_an_end_that_is_no_fault_is_no_reason(world: World, what: str) -> None:
    supervisor = world.supervisor(
        world.module(always(what)), restarts=RestartPolicy(max_failures=3)
    )
    await supervisor.start("M")
    await world.status(supervisor, ModuleStatus.CRASHED)
    assert launches(world) == ["usual", "usual", "usual"]


async def test_settings_can_forbid_it(world: World) -> None:
    module = world.module(always(killed()), SafeMode=False)
    supervisor = world.supervisor(module, restarts=RestartPolicy(max_failures=2))
    await supervisor.start("M")
    await world.status(supervisor, ModuleStatus.CRASHED)
    assert launches(world) == ["usual", "usual"]


async def test_a_fault_after_it_was_ready_is_no_reason(world: World) -> None:
    supervisor = world.supervisor(world.module(SAYS_MODE + RUNS))
    await supervisor.start("M")
    await ready(world, supervisor)
    pid = supervisor.state("M").pid
    assert pid is not None
    os.kill(pid, signal.SIGSEGV)
    await world.until(lambda: len(launches(world)) == 2)
    assert launches(world) == ["usual", "usual"]


async def test_safe_mode_stays_until_somebody_starts_the_module_anew(world: World) -> None:
    supervisor = world.supervisor(world.module(unless_safe(killed())))
    await supervisor.start("M")
    await ready(world, supervisor)
    pid = supervisor.state("M").pid
    assert pid is not None
    os.kill(pid, signal.SIGSEGV)
    await world.until(lambda: len(launches(world)) == 3)
    assert launches(world) == ["usual", "safe", "safe"]
    (world.folder / "M" / "child.py").write_text(SAYS_MODE + RUNS)  # it is repaired
    await supervisor.restart("M")
    await world.until(lambda: len(launches(world)) == 4)
    assert launches(world)[-1] == "usual"


async def test_a_stop_is_no_reason(world: World) -> None:
    supervisor = world.supervisor(world.module(SAYS_MODE + RUNS))
    await supervisor.start("M")
    await world.entry("ready")
    await supervisor.stop("M")
    await supervisor.start("M")
    await world.until(lambda: len(launches(world)) == 2)
    assert launches(world) == ["usual", "usual"]
