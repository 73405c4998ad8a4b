"""Several processes of one module: how many, with what environment, each supervised by itself."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from puppet import Caller, Puppet
from pydantic import ValidationError
from world import RUNS, World

from host.app import Host
from host.processes.environments import GPU_VARIABLE, instance_environments
from host.processes.launched_id import is_launched_here
from host.processes.liveness import Sign
from host.processes.supervisor import ModuleStatus, RestartPolicy
from host.settings.schema import LaunchSettings

posix_only = pytest.mark.skipif(os.name != "posix", reason="about signals and scripts")

SHOWS = f"import os\nprint('gpu', os.environ.get('{GPU_VARIABLE}', 'all'), flush=True)\n{RUNS}"
CRASHES_ON_ONE = f"""
import os, sys
if os.environ["WHO"] == "bad": sys.exit(3)
{RUNS}
"""


def nvidia_smi(folder: Path, output: str, code: int = 0) -> dict[str, str]:
    """A driver's tool that says so: the environment that finds it first."""
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!{sys.executable}\nprint({output!r}, end='')\nraise SystemExit({code})\n")
    tool.chmod(0o755)
    return {"PATH": str(folder)}


async def test_a_number_is_that_many_alike() -> None:
    assert await instance_environments(1, {}) == [{}]
    assert await instance_environments(3, {}) == [{}, {}, {}]


async def test_a_list_is_one_for_each_environment() -> None:
    wish = [{"A": "1"}, {"A": "2", "B": "x"}]
    assert await instance_environments(wish, {}) == wish


@posix_only
async def test_one_per_gpu(tmp_path: Path) -> None:
    listed = "GPU 0: NVIDIA A (UUID: GPU-1)\n  MIG 1g.5gb\nGPU 1: NVIDIA A (UUID: GPU-2)\n"
    environments = await instance_environments("per-gpu", nvidia_smi(tmp_path, listed))
    assert environments == [{GPU_VARIABLE: "0"}, {GPU_VARIABLE: "1"}]


@posix_only
@pytest.mark.parametrize("output", ["", "NVIDIA-SMI has failed because it couldn't communicate\n"])
async def test_without_a_gpu_there_is_one_instance(tmp_path: Path, output: str) -> None:
    assert await instance_environments("per-gpu", nvidia_smi(tmp_path, output, 9)) == [{}]
    assert await instance_environments("per-gpu", {"PATH": str(tmp_path / "nothing")}) == [{}]


@pytest.mark.parametrize(
    ("named", "gpus"), [("2,3", ["2", "3"]), ("GPU-abc", ["GPU-abc"]), ("0,-1,1", ["0"])]
)
async def test_gpus_that_the_environment_names_are_those_to_use(
    named: str, gpus: list[str]
) -> None:
    environments = await instance_environments("per-gpu", {GPU_VARIABLE: named, "PATH": ""})
    assert environments == [{GPU_VARIABLE: gpu} for gpu in gpus]


async def test_no_gpu_by_the_environment_is_one_instance() -> None:
    assert await instance_environments("per-gpu", {GPU_VARIABLE: ""}) == [{}]


@pytest.mark.parametrize("wish", [0, -1, True, 1.5, "two", "per-cpu", [], [1], {}])
def test_a_wrong_wish_is_refused(wish: object) -> None:
    with pytest.raises(ValidationError) as error:
        LaunchSettings.model_validate({"FilePath": "x.py", "Instances": wish})
    assert [item["type"] for item in error.value.errors()] == ["instances"]


@pytest.mark.parametrize("wish", [1, 4, "per-gpu", [{"A": "1"}, {}]])
def test_a_right_wish_is_taken(wish: object) -> None:
    launch = LaunchSettings.model_validate({"FilePath": "x.py", "Instances": wish})
    assert launch.instances == wish


@posix_only
async def test_each_instance_has_its_gpu_and_its_id(world: World) -> None:
    world.folder.joinpath("bin").mkdir()
    path = nvidia_smi(world.folder / "bin", "GPU 0: A\nGPU 1: B\n")["PATH"]
    base = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}
    base.pop(GPU_VARIABLE, None)
    module = world.module(SHOWS, Instances="per-gpu")
    supervisor = world.supervisor(module, base_env=base)
    await supervisor.start_all()
    await world.entry("gpu 0")
    await world.entry("gpu 1")
    states = supervisor.instances("m")
    ids = {state.instance_id for state in states}
    assert len(ids) == 2 and all(one and is_launched_here(one) for one in ids)
    assert {entry.label for entry in world.log.list(0, 99)} >= {"stdout #1", "stdout #2"}
    supervisor.mark_ready("M", states[1].instance_id)
    assert supervisor.state("M").status is ModuleStatus.STARTED
    assert supervisor.state("M").instance_id == states[1].instance_id
    assert supervisor.instances("M")[0].status is ModuleStatus.STARTING


@posix_only
async def test_each_instance_is_restarted_by_itself(world: World) -> None:
    supervisor = world.supervisor(world.module(RUNS, Instances=2))
    await supervisor.start("M")
    await world.until(lambda: world.entries().count("ready") == 2)
    first, second = supervisor.instances("M")
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    await world.until(lambda: supervisor.instances("M")[0].pid not in (None, first.pid))
    assert supervisor.instances("M")[1] == second
    assert [instance_id for _, instance_id, _ in world.exits] == [first.instance_id]
    assert supervisor.state("M").restarts == 1


async def test_the_module_runs_as_long_as_one_of_them_does(world: World) -> None:
    module = world.module(CRASHES_ON_ONE, Instances=[{"WHO": "bad"}, {"WHO": "good"}])
    supervisor = world.supervisor(
        module,
        restarts=RestartPolicy(max_failures=2),
        base_env={**os.environ, "WHO": "nobody"},
    )
    await supervisor.start("M")
    await world.until(lambda: supervisor.instances("M")[0].status is ModuleStatus.CRASHED)
    await world.entry("ready")
    assert supervisor.state("M").status is ModuleStatus.STARTING
    assert "exit code 3" in supervisor.instances("M")[0].reason
    await supervisor.stop("M")
    assert {state.status for state in supervisor.instances("M")} == {ModuleStatus.STOPPED}


async def test_instances_that_do_not_say_who_they_are_are_warned_of(world: World) -> None:
    supervisor = world.supervisor(world.module(RUNS, Instances=2))
    await supervisor.start("M")
    for _ in range(3):
        supervisor.mark_seen("M", None, Sign(protocol=1))
    assert len([entry for entry in world.entries() if "LaunchSettings.Instances" in entry]) == 1


async def test_one_that_has_failed_takes_nothing_while_another_works(
    host: Host, session: aiohttp.ClientSession, client: Caller
) -> None:
    bad, good = (Puppet(session, host.url, one) for one in ("bad", "good"))
    await bad.tell_status(state="failed", error="no such GPU")
    await good.tell_status(state="ready")
    command_id = await client.tell()
    assert await bad.poll(wait=0.1) is None
    assert (await good.take())["reqid"] == command_id
    await good.tell_status(state="failed", error="nor this one")
    second = await client.tell()
    assert (await bad.take())["reqid"] == second, "somebody has to say why"
    _, body = await client.call("GET", "/v1/module/list/status")
    reasons = {one["instanceId"]: one["reason"] for one in body["statuses"][0]["instances"]}
    assert reasons == {"bad": "no such GPU", "good": "nor this one"}
