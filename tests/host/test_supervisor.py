"""Supervision of real processes that misbehave on demand."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from world import (
    CRASHES,
    CRASHES_TWICE,
    FLOODS,
    GRANDCHILD,
    QUITS,
    RUNS,
    SHOWS_ENVIRONMENT,
    STUBBORN,
    World,
    is_alive,
)

from host.processes.process import Child, LaunchSpec, OnOutput
from host.processes.supervisor import (
    Hooks,
    HostIsStopping,
    ModuleProcessState,
    ModuleStatus,
    RestartPolicy,
    StopLadder,
    Supervisor,
    UnknownModule,
)
from host.settings import BrokenModule, SettingsError

posix_only = pytest.mark.skipif(os.name != "posix", reason="about signals")


async def test_a_module_starts_speaks_and_stops(world: World) -> None:
    supervisor = world.supervisor(world.module(RUNS))
    assert supervisor.state("M").status is ModuleStatus.NOT_STARTED
    await supervisor.start("m")
    state = supervisor.state("M")
    assert state.status is ModuleStatus.STARTING
    assert state.pid is not None
    assert state.started_at is not None
    supervisor.mark_ready("m", state.instance_id)
    assert supervisor.state("M").status is ModuleStatus.STARTED
    assert supervisor.state("M").last_seen is not None
    await supervisor.stop("M")
    assert supervisor.state("M").status is ModuleStatus.STOPPED
    assert supervisor.state("M").pid is None
    assert not psutil.pid_exists(state.pid)
    assert [(module_id, instance_id) for module_id, instance_id, _ in world.exits] == [
        ("M", state.instance_id)
    ]
    statuses = list(dict.fromkeys(state.status.value for state in world.states))
    assert statuses == ["Starting", "Started", "Stopping", "Stopped"]


async def test_a_second_start_changes_nothing(world: World) -> None:
    supervisor = world.supervisor(world.module(RUNS))
    await asyncio.gather(*(supervisor.start("M") for _ in range(3)))
    pid = supervisor.state("M").pid
    await supervisor.start("M")
    assert supervisor.state("M").pid == pid
    assert len(supervisor.instances("M")) == 1


async def test_only_the_launched_instance_counts(world: World) -> None:
    supervisor = world.supervisor(world.module(RUNS))
    supervisor.mark_ready("M", None)
    assert supervisor.state("M").status is ModuleStatus.NOT_STARTED
    await supervisor.start("M")
    supervisor.mark_ready("M", "another instance")
    supervisor.mark_seen("M", "another instance")
    supervisor.mark_ready("no such module", None)
    supervisor.mark_seen("no such module", None)
    assert supervisor.state("M").status is ModuleStatus.STARTING
    assert supervisor.state("M").last_seen is None
    supervisor.mark_ready("M", None)  # modules of the field do not name their instance
    assert supervisor.state("M").status is ModuleStatus.STARTED


async def test_the_child_gets_its_environment_and_folder(world: World) -> None:
    supervisor = world.supervisor(
        world.module(SHOWS_ENVIRONMENT), base_env={**os.environ, "FROM_HOST": "yes"}
    )
    await supervisor.start("M")
    shown = json.loads(await world.entry("{"))
    assert shown["CPAI_MODULE_ID"] == "M"
    assert shown["CPAI_MODULE_INSTANCE_ID"] == supervisor.state("M").instance_id
    assert shown["FROM_HOST"] == "yes"
    assert shown["CPAI_MODULE_PATH"] == str(world.folder / "M")


async def test_one_that_crashes_at_once_is_given_up_after_growing_pauses(world: World) -> None:
    supervisor = world.supervisor(
        world.module(CRASHES), restarts=RestartPolicy(max_failures=5, max_pause_s=3.0)
    )
    await supervisor.start("M")
    state = await world.status(supervisor, ModuleStatus.CRASHED)
    await world.until(lambda: len(world.exits) == 5)
    assert world.pauses == [0.5, 1.0, 2.0, 3.0]
    assert len({instance_id for _, instance_id, _ in world.exits}) == 5
    assert {reason for _, _, reason in world.exits} == {"exit code 3; last lines: the cause"}
    assert state.reason.startswith("crashed 5 times in a row")
    assert "the cause" in state.reason
    assert state.restarts == 4
    assert state.pid is None


async def test_one_given_up_can_be_started_again(world: World) -> None:
    module = world.module(CRASHES)
    supervisor = world.supervisor(module, restarts=RestartPolicy(max_failures=1))
    await supervisor.start("M")
    await world.status(supervisor, ModuleStatus.CRASHED)
    (module.path / "child.py").write_text(RUNS)
    await supervisor.start("M")
    await world.entry("ready")
    assert supervisor.state("M").status is ModuleStatus.STARTING


async def test_it_crashes_twice_and_then_runs(world: World) -> None:
    supervisor = world.supervisor(world.module(CRASHES_TWICE))
    await supervisor.start("M")
    await world.entry("ready")
    state = supervisor.state("M")
    assert state.status is ModuleStatus.STARTING
    assert state.restarts == 2
    assert state.reason == "exit code 1"
    supervisor.mark_ready("M", state.instance_id)
    assert supervisor.state("M").reason == ""
    assert world.pauses == [0.5, 1.0]


def a_minute_each_look() -> Callable[[], float]:
    """A clock that moves so fast that every run lasts a minute."""
    minutes = itertools.count(1)
    return lambda: 60.0 * next(minutes)


@posix_only
async def test_a_stable_run_ends_the_row_of_failures(world: World) -> None:
    supervisor = world.supervisor(
        world.module(RUNS), restarts=RestartPolicy(max_failures=2), clock=a_minute_each_look()
    )
    await supervisor.start("M")
    pids: list[int | None] = [None]
    for _ in range(4):
        await world.until(lambda: supervisor.state("M").pid not in pids)
        pid = supervisor.state("M").pid
        assert pid is not None
        supervisor.mark_ready("M", None)
        os.kill(pid, signal.SIGKILL)
        pids.append(pid)
    await world.until(lambda: len(world.pauses) >= 4)
    await supervisor.stop("M")
    assert set(world.pauses) == {0.5}


async def test_a_long_run_that_was_never_ready_ends_no_row(world: World) -> None:
    supervisor = world.supervisor(
        world.module(CRASHES), restarts=RestartPolicy(max_failures=2), clock=a_minute_each_look()
    )
    await supervisor.start("M")
    await world.status(supervisor, ModuleStatus.CRASHED)
    assert world.pauses == [0.5], "a large model may take minutes to the fault that it dies of"


@posix_only
async def test_kill_9_is_reported_and_the_module_comes_back(world: World) -> None:
    supervisor = world.supervisor(world.module(RUNS))
    await supervisor.start("M")
    await world.entry("ready")
    first = supervisor.state("M")
    supervisor.mark_ready("M", first.instance_id)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    await world.until(lambda: supervisor.state("M").pid not in (None, first.pid))
    second = supervisor.state("M")
    assert second.instance_id != first.instance_id
    [(_, instance_id, reason)] = world.exits
    assert instance_id == first.instance_id
    assert reason.startswith("killed by SIGKILL (signal 9): probably out of memory; free memory")
    supervisor.mark_ready("M", first.instance_id)
    assert supervisor.state("M").status is ModuleStatus.STARTING


async def test_an_exit_is_told_before_the_next_launch(world: World) -> None:
    supervisor: Supervisor
    seen: list[tuple[ModuleStatus, int | None]] = []

    async def on_exit(module_id: str, instance_id: str, reason: str) -> None:
        await asyncio.sleep(0)
        state = supervisor.state(module_id)
        seen.append((state.status, state.pid))

    supervisor = world.supervisor(world.module(CRASHES_TWICE), hooks=Hooks(on_exit=on_exit))
    await supervisor.start("M")
    await world.entry("ready")
    assert seen == [(ModuleStatus.RESTARTING, None)] * 2


async def test_faults_of_the_listeners_do_not_end_supervision(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_exit(module_id: str, instance_id: str, reason: str) -> None:
        raise ValueError("listener")

    def on_state(module_id: str, state: ModuleProcessState) -> None:
        raise ValueError("listener")

    hooks = Hooks(on_exit=on_exit, on_state=on_state)
    supervisor = world.supervisor(world.module(CRASHES_TWICE), hooks=hooks)
    await supervisor.start("M")
    await world.entry("ready")
    await supervisor.stop("M")
    assert supervisor.state("M").status is ModuleStatus.STOPPED
    assert "on_exit of module M failed" in caplog.text


async def test_a_module_that_is_asked_quits_by_itself(world: World) -> None:
    asked: list[tuple[str, str]] = []
    module = world.module(QUITS)

    async def request_quit(module_id: str, instance_id: str) -> None:
        asked.append((module_id, instance_id))
        (module.path / "quit").touch()

    supervisor = world.supervisor(
        module,
        ladder=StopLadder(grace_s=30),
        hooks=Hooks(request_quit=request_quit, on_exit=world.on_exit),
    )
    await supervisor.start("M")
    await world.entry("ready")
    instance_id = supervisor.state("M").instance_id
    supervisor.mark_ready("M", instance_id)
    await supervisor.stop("M")
    assert asked == [("M", instance_id)]
    assert world.exits == [("M", instance_id, "stopped on request")]


@posix_only
@pytest.mark.parametrize("fault", ["hangs", "raises"])
async def test_a_request_that_fails_leads_to_sigterm(world: World, fault: str) -> None:
    async def request_quit(module_id: str, instance_id: str) -> None:
        if fault == "raises":
            raise ConnectionError("nobody listens")
        await asyncio.Event().wait()

    hooks = Hooks(request_quit=request_quit, on_exit=world.on_exit)
    supervisor = world.supervisor(world.module(RUNS), hooks=hooks)
    await supervisor.start("M")
    await world.entry("ready")
    supervisor.mark_ready("M", None)
    await supervisor.stop("M")
    assert [reason for _, _, reason in world.exits] == ["stopped by SIGTERM"]


@posix_only
async def test_one_that_ignores_sigterm_is_killed(world: World) -> None:
    supervisor = world.supervisor(world.module(STUBBORN))
    await supervisor.start("M")
    await world.entry("ready")
    await supervisor.stop("M")
    assert supervisor.state("M").reason == "stopped by SIGKILL"
    assert "did not end when asked to: killed" in world.entries()


@posix_only
@pytest.mark.parametrize("is_killed", [False, True])
async def test_grandchildren_end_with_the_module(world: World, is_killed: bool) -> None:
    supervisor = world.supervisor(world.module(GRANDCHILD))
    await supervisor.start("M")
    grandchild = int((await world.entry("grandchild")).split()[1])
    assert is_alive(grandchild)
    pid = supervisor.state("M").pid
    assert pid is not None
    if is_killed:
        os.kill(pid, signal.SIGKILL)
        await world.until(lambda: len(world.exits) == 1)
    else:
        await supervisor.stop("M")
    await world.until(lambda: not is_alive(grandchild))


async def test_a_flood_fills_neither_memory_nor_the_log(world: World) -> None:
    supervisor = world.supervisor(world.module(FLOODS))
    await supervisor.start("M")
    await world.until(lambda: any("lines of output left out" in e for e in world.entries()))
    assert len(world.entries()) <= 2_000
    await supervisor.stop("M")
    assert supervisor.state("M").status is ModuleStatus.STOPPED


async def test_what_cannot_be_launched_is_not_tried_again(world: World) -> None:
    no_file = world.module(RUNS, "NoFile", FilePath="other.py")
    no_folder = world.module(RUNS, "NoFolder").model_copy(update={"path": world.folder / "gone"})
    no_python = world.module(RUNS, "NoPython")
    (no_python.path / ".venv").mkdir()
    no_dotnet = world.module(RUNS, "NoDotnet", FilePath="child.dll", Runtime="dotnet")
    (no_dotnet.path / "child.dll").touch()
    supervisor = world.supervisor(
        no_file, no_folder, no_python, no_dotnet, base_env={"PATH": str(world.folder)}
    )
    await supervisor.start_all()
    states = supervisor.states()
    assert {state.status for state in states.values()} == {ModuleStatus.FAILED_START}
    assert "FilePath: there is no file" in states["NoFile"].reason
    assert "the module's folder" in states["NoFolder"].reason
    assert "the program" in states["NoPython"].reason
    assert "the program dotnet is not there" in states["NoDotnet"].reason
    assert world.pauses == []
    assert world.exits == []


async def test_a_launch_that_failed_can_be_tried_again_by_hand(world: World) -> None:
    module = world.module(RUNS, FilePath="later.py")
    supervisor = world.supervisor(module)
    await supervisor.start("M")
    assert supervisor.state("M").status is ModuleStatus.FAILED_START
    (module.path / "later.py").write_text(RUNS)
    await supervisor.start("M")
    assert supervisor.state("M").status is ModuleStatus.STARTING


async def test_start_all_takes_those_with_autostart_and_pauses_after_each(world: World) -> None:
    supervisor = world.supervisor(
        world.module(RUNS, "A", PostStartPauseSecs=1.5),
        world.module(RUNS, "B", AutoStart=False),
        world.module(RUNS, "C"),
    )
    await supervisor.start_all()
    statuses = {module_id: state.status for module_id, state in supervisor.states().items()}
    assert statuses == {
        "A": ModuleStatus.STARTING,
        "B": ModuleStatus.NOT_STARTED,
        "C": ModuleStatus.STARTING,
    }
    assert world.pauses == [1.5]


@posix_only
async def test_stop_all_stays_under_five_seconds_with_the_most_stubborn(world: World) -> None:
    names = ["A", "B", "C"]
    supervisor = world.supervisor(
        *(world.module(STUBBORN, name) for name in names), ladder=StopLadder()
    )
    await supervisor.start_all()
    await world.until(lambda: world.entries().count("ready") == len(names))
    for name in names:
        supervisor.mark_ready(name, None)
    begin = time.monotonic()
    await supervisor.stop_all()
    assert time.monotonic() - begin < 5
    assert {state.reason for state in supervisor.states().values()} == {"stopped by SIGKILL"}
    assert psutil.Process().children() == []


async def test_a_stop_in_the_pause_before_a_restart_ends_the_pause(world: World) -> None:
    async def sleep(seconds: float) -> None:
        await asyncio.Event().wait()

    supervisor = world.supervisor(world.module(CRASHES), sleep=sleep)
    await supervisor.start("M")
    await world.status(supervisor, ModuleStatus.RESTARTING)
    await asyncio.wait_for(supervisor.stop("M"), 10)
    assert supervisor.state("M").status is ModuleStatus.STOPPED
    assert len(world.exits) == 1


async def test_a_stop_that_is_cancelled_goes_on_by_itself(world: World) -> None:
    supervisor = world.supervisor(world.module(RUNS))
    await supervisor.start("M")
    await world.entry("ready")
    stopping = asyncio.create_task(supervisor.stop("M"))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await world.status(supervisor, ModuleStatus.STOPPED)
    assert supervisor.state("M").pid is None


async def test_restart_gives_a_new_instance(world: World) -> None:
    supervisor = world.supervisor(world.module(RUNS))
    await supervisor.start("M")
    first = supervisor.state("M")
    await supervisor.restart("M")
    second = supervisor.state("M")
    assert second.status is ModuleStatus.STARTING
    assert (second.pid, second.instance_id) != (first.pid, first.instance_id)
    assert second.restarts == 0


async def test_stopping_twice_and_stopping_what_never_ran_is_fine(world: World) -> None:
    supervisor = world.supervisor(world.module(RUNS))
    await supervisor.stop("M")
    await supervisor.start("M")
    await asyncio.gather(supervisor.stop("M"), supervisor.stop("M"))
    await supervisor.stop("M")
    assert supervisor.state("M").status is ModuleStatus.STOPPED


async def test_nothing_starts_once_the_host_is_stopping(world: World) -> None:
    supervisor = world.supervisor(world.module(RUNS))
    await supervisor.stop_all()
    with pytest.raises(HostIsStopping):
        await supervisor.start("M")
    with pytest.raises(HostIsStopping):
        await supervisor.restart("M")
    await supervisor.start_all()
    assert supervisor.state("M").pid is None


async def test_an_unknown_module_is_named(world: World) -> None:
    supervisor = world.supervisor(world.module(RUNS))
    with pytest.raises(UnknownModule, match=r"no module 'X' here \(there are: M\)"):
        await supervisor.start("X")
    with pytest.raises(UnknownModule):
        await supervisor.stop("X")
    assert supervisor.state("X").status is ModuleStatus.UNKNOWN


async def test_a_module_with_wrong_settings_is_shown_as_failed(world: World) -> None:
    error = SettingsError(Path("modulesettings.json"), expected="JSON", got="mud")
    broken = BrokenModule("Broken", world.folder, (error,))
    supervisor = world.supervisor(world.module(RUNS), broken=[broken])
    await supervisor.start("broken")
    await supervisor.stop("broken")
    state = supervisor.state("BROKEN")
    assert state.status is ModuleStatus.FAILED_START
    assert state.reason == "wrong settings: modulesettings.json: expected JSON, got mud"
    assert supervisor.states()["Broken"] == state


async def test_a_fault_of_supervision_itself_shows(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def launcher(spec: LaunchSpec, on_output: OnOutput) -> Child:
        raise ZeroDivisionError

    supervisor = world.supervisor(world.module(RUNS), launcher=launcher)
    await supervisor.start("M")
    assert supervisor.state("M").status is ModuleStatus.CRASHED
    assert "ZeroDivisionError" in supervisor.state("M").reason
    assert "supervision of module M failed" in caplog.text


def test_a_loop_that_ends_without_stop_all_leaves_nothing_behind(tmp_path: Path) -> None:
    async def main() -> int:
        world = World(tmp_path)
        supervisor = world.supervisor(world.module(STUBBORN))
        await supervisor.start("M")
        await world.entry("ready")
        pid = supervisor.state("M").pid
        assert pid is not None
        return pid

    pid = asyncio.run(main())
    assert not is_alive(pid)


def test_the_pauses_double_up_to_the_limit() -> None:
    policy = RestartPolicy()
    pauses = [policy.pause_s(failures) for failures in range(1, 10)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
