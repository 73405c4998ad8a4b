"""Silence, standstill and nonsense: when a module that seems to live does not."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import Any

import pytest
from world import RUNS, World

from host.instances.faults import Faults
from host.instances.instance import Instance, sign_of
from host.processes.liveness import MOST_FAULTS, Liveness, Sign, SilenceLimits
from host.processes.supervisor import ModuleStatus, StopLadder

LIMITS = SilenceLimits(silent_s=15, slow_s=60, stalled_s=300, start_s=0, test_s=100)
READY = Sign(is_ready=True)
SILENT = "it lives but has not spoken for 15 s"


class Watched:
    """A launch, looked at every second of a clock that the test moves."""

    def __init__(self, limits: SilenceLimits = LIMITS) -> None:
        self.now_s = 1000.0
        self.liveness = Liveness(limits, 1.0, self.now_s)

    def look(self, seconds: int, sign: Sign | None = None) -> list[str]:
        """What was found wrong in that time; with a sign of life each second, if given."""
        found = []
        for _ in range(seconds):
            self.now_s += 1
            if sign is not None:
                self.liveness.sign(sign)
            fault = self.liveness.fault(self.now_s)
            found += [fault] if fault else []
        return found


def test_one_that_has_never_spoken_is_given_all_time() -> None:
    assert Watched().look(100_000) == []


def test_a_limit_for_the_first_word() -> None:
    watched = Watched(replace(LIMITS, start_s=20))
    assert watched.look(19) == []
    assert watched.look(1) == [
        "it lives but has not spoken since its launch 20 s ago (MaxStartSecs)"
    ]


def test_a_limit_for_the_self_test() -> None:
    watched, testing = Watched(), Sign(state="testing")
    assert watched.look(500, Sign(state="loading")) == []
    assert watched.look(98, testing) == []
    assert watched.look(1, testing) == ["its self-test has not ended within 100 s (MaxTestSecs)"]
    assert watched.look(500, READY) == []


def test_silence_after_the_first_word() -> None:
    watched = Watched()
    assert watched.look(100, READY) == []
    assert watched.look(13) == []
    assert watched.look(2)[-1] == SILENT


@pytest.mark.parametrize("sign", [Sign(protocol=1, is_ready=True), Sign(is_ready=False)])
def test_those_that_may_be_blocked_have_longer(sign: Sign) -> None:
    watched = Watched()
    watched.look(1, sign)
    assert watched.look(58) == []
    assert watched.look(1) == ["it lives but has not spoken for 60 s"]


def test_time_in_which_this_host_slept_does_not_count() -> None:
    watched = Watched()
    watched.look(1, READY)
    watched.now_s += 3600
    assert watched.look(10) == []
    assert SILENT in watched.look(10)


def test_work_that_does_not_move() -> None:
    watched = Watched()
    watched.look(1, replace(READY, busy=1, steps=5))
    watched.look(1, replace(READY, busy=1, steps=6))
    assert watched.look(298, replace(READY, busy=1, steps=6)) == []
    assert watched.look(1, replace(READY, busy=1, steps=6)) == [
        "it claims to work but made no progress for 300 s (MaxSilentSecs)"
    ]


@pytest.mark.parametrize(
    ("sign", "limits"),
    [
        (replace(READY, busy=0), LIMITS),
        (replace(READY, busy=1, protocol=1), LIMITS),
        (replace(READY, busy=1), replace(LIMITS, stalled_s=0)),
    ],
)
def test_no_work_no_standstill(sign: Sign, limits: SilenceLimits) -> None:
    assert Watched(limits).look(1000, sign) == []


def test_a_new_command_begins_the_time_anew() -> None:
    watched = Watched()
    watched.look(299, replace(READY, busy=1))
    watched.look(1, READY)
    assert watched.look(299, replace(READY, busy=1)) == []


def test_nonsense_in_a_row_is_a_fault() -> None:
    watched = Watched()
    instance = Instance("M", "i", 2)
    instance.status = {"state": "ready", "busy": 2}
    for _ in range(MOST_FAULTS - 1):
        instance.faults.note("answer", "body: expected a JSON object, got mud")
    assert sign_of(instance).busy == 2 and sign_of(instance).is_ready
    assert watched.look(1, sign_of(instance)) == []
    instance.faults.note("answer", "body: expected a JSON object, got mud")
    instance.faults.fine("status")
    assert watched.look(1, sign_of(instance)) == [
        "it sends what cannot be used as its answer, 10 times in a row: "
        "body: expected a JSON object, got mud"
    ]


@pytest.mark.parametrize("busy", [None, "many", [], {}])
def test_a_status_of_any_shape_is_read(busy: Any) -> None:
    instance = Instance("M", "i", 2)
    instance.status = {"busy": busy}
    assert sign_of(instance).busy == 0


def test_faults_are_counted_by_kind() -> None:
    faults = Faults()
    assert faults.note("answer", "a") and not faults.note("answer", "b")
    assert faults.note("status", "c")
    assert faults.worst == 2 and faults.words.endswith("as its answer, 2 times in a row: b")
    faults.fine("answer")
    assert faults.words == "it sends what cannot be used as its status: c"
    faults.fine("status")
    assert (faults.worst, faults.words) == (0, "")


@pytest.mark.skipif(os.name != "posix", reason="about signals")
async def test_a_frozen_process_is_ended_and_launched_again(world: World) -> None:
    supervisor = world.supervisor(
        world.module(RUNS),
        timing={"silent_s": 0.3, "look_every_s": 0.05},
        ladder=StopLadder(grace_s=30, terminate_s=0.1, kill_s=5),
    )
    await supervisor.start("M")
    await world.entry("ready")
    first = supervisor.state("M")
    assert first.pid is not None
    speaking = asyncio.create_task(_speak(world, first.instance_id))
    await world.until(lambda: supervisor.state("M").status is ModuleStatus.STARTED)
    os.kill(first.pid, signal.SIGSTOP)
    speaking.cancel()
    await world.until(lambda: supervisor.state("M").pid not in (None, first.pid))
    [(_, instance_id, reason)] = world.exits
    assert instance_id == first.instance_id
    assert reason == "it lives but has not spoken for 0.3 s"
    assert supervisor.state("M").reason == reason
    assert supervisor.state("M").restarts == 1
    await world.entry("hangs: it lives but has not spoken for 0.3 s")


async def _speak(world: World, instance_id: str | None) -> None:
    [supervisor] = world.made
    while True:
        supervisor.mark_seen("M", instance_id, READY)
        supervisor.mark_ready("M", instance_id)
        await asyncio.sleep(0.01)
