"""`llamachat doctor`: on a healthy deployment, and with one thing after the other broken."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from filelock import FileLock
from puppet import running_host, write_root
from redis_server import redis_server
from test_cli import llamachat, result

from host.access.keys import KeyFile
from host.access.principal import Role
from host.cli.doctor import Check, examine
from host.cli.doctor.access_check import check_access
from host.cli.doctor.data_check import check_data
from host.cli.doctor.machine import check_disk, check_memory, check_python
from host.cli.doctor.modules import check_running
from host.cli.doctor.network import answers, check_port, check_redis
from host.cli.whereabouts import announced
from host.settings import ServerSettings, Settings, load_settings
from host.store.data_dir import LOCK_NAME
from host.store.holder import FILE_NAME

PROGRAM = """
import json, os, sys
oven = {"check": "oven", "ok": False, "finding": "cold", "remedy": "light it"}
print("a line of some library")
print(json.dumps({"check": "flour", "ok": True, "finding": "white"}), flush=True)
print(json.dumps(oven), flush=True)
"""


async def examined(root: Path, limit_s: float = 60) -> dict[str, Check]:
    """What is found in that deployment, by its title."""

    def load(file: Path | None) -> Settings:
        return load_settings(root, root_file=file)

    return {check.title: check async for check in examine(load, limit_s)}


def bad_ones(found: dict[str, Check]) -> list[str]:
    return [title for title, check in found.items() if not check.is_good]


def server(root: Path, **values: Any) -> ServerSettings:
    return ServerSettings.model_validate({"root_path": root, **values})


@pytest.mark.parametrize(
    ("host", "keys", "words"),
    [
        ("127.0.0.1", [], None),
        ("127.0.0.1", ["anna"], None),
        ("0.0.0.0", ["anna", "bob"], None),
        ("0.0.0.0", [], "lets other machines in, and there is no key"),
        ("127.0.0.1", ["-"], "all keys are revoked"),
        ("127.0.0.1", ["{"], "cannot be read"),
    ],
)
def test_access(tmp_path: Path, host: str, keys: list[str], words: str | None) -> None:
    file = KeyFile(tmp_path)
    for name in keys:
        file.add(name, [Role.CHAT])
    if keys == ["-"]:
        file.revoke("-")
    if keys == ["{"]:
        file.path.write_text("{")
    check = check_access(server(tmp_path, Host=host), tmp_path)
    assert (check.is_good, bool(check.remedy)) == (words is None, words is not None)
    assert (words or "") in check.finding
    assert check_access(server(tmp_path, Host="0.0.0.0", Insecure=True), tmp_path / "x").is_good


def write_program(root: Path, code: str) -> None:
    """The puppet's own doctor."""
    folder = root / "modules" / "Puppet"
    settings = json.loads((folder / "modulesettings.json").read_text())
    settings["Modules"]["Puppet"]["InstallOptions"] = {"Doctor": "look.py"}
    (folder / "modulesettings.json").write_text(json.dumps(settings))
    (folder / "look.py").write_text(code)


@pytest.fixture
async def stranger() -> AsyncIterator[int]:
    """The port of a program that is no host."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listener:
        yield int(listener.sockets[0].getsockname()[1])


# --- a deployment in good health


async def test_all_is_good(tmp_path: Path) -> None:
    found = await examined(write_root(tmp_path))
    assert bad_ones(found) == []
    assert list(found) == ["python", "settings", "memory", "disk", "data", "port", "access"]
    assert not (tmp_path / "data").exists()  # looking changes nothing


async def test_the_command_says_so_and_ends_with_0(tmp_path: Path) -> None:
    root = str(write_root(tmp_path))
    code, out, err = await result(await llamachat("doctor", "--root", root))
    assert (code, err) == (0, "") and "good  port" in out and out.endswith("\nall 7 good\n")


async def test_a_host_that_runs_is_no_fault_but_its_module_is_told(tmp_path: Path) -> None:
    port = free_port()
    async with running_host(write_root(tmp_path, Port=port)) as host:
        with announced(tmp_path / "data", host.url):
            found = await examined(tmp_path)
    assert bad_ones(found) == []
    assert "served by the host that runs" in found["port"].finding
    assert f"process {os.getpid()} at {host.url}" in found["data"].finding
    assert found["Puppet: running"].finding == "NotStarted"


async def test_a_modules_program_is_run_as_the_module_is(tmp_path: Path) -> None:
    write_program(write_root(tmp_path), PROGRAM + "sys.exit(1)\n")
    found = await examined(tmp_path)
    assert bad_ones(found) == ["Puppet: oven"] and found["Puppet: flour"].is_good
    assert found["Puppet: oven"].remedy == "light it"


# --- broken on purpose


async def test_a_port_that_a_stranger_has(tmp_path: Path, stranger: int) -> None:
    found = await examined(write_root(tmp_path, Port=stranger))
    assert bad_ones(found) == ["port"]
    assert f"(process {os.getpid()})" in found["port"].finding
    assert "Server.Port or --port" in found["port"].remedy


async def test_an_address_that_is_not_this_machines(tmp_path: Path) -> None:
    check = await check_port(server(tmp_path, Host="192.0.2.7"), answers)
    assert not check.is_good and "address of this machine in Server.Host" in check.remedy


@pytest.mark.parametrize("text", ['{"Server": {"Port": "many"}}', '{"Server" 1}', "[]"])
async def test_settings_that_are_wrong(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_root(tmp_path)
    write_program(tmp_path, PROGRAM)
    (tmp_path / "modulesettings.json").write_text(text)
    monkeypatch.setenv("LLAMACHAT_DATA_DIR", str(tmp_path / "data"))  # no settings name one
    found = await examined(tmp_path)
    assert "settings" in bad_ones(found) and "Puppet: oven" in found  # it goes on
    assert str(tmp_path / "modulesettings.json") in found["settings"].finding
    assert "default settings" in found["settings"].remedy


async def test_a_modules_settings_that_are_wrong_and_a_name_nobody_has(tmp_path: Path) -> None:
    write_root(tmp_path)
    file = tmp_path / "modules" / "Puppet" / "modulesettings.json"
    file.write_text(file.read_text().replace('"puppet.py"', "{}"))
    own = {"Server": {"Port": 0, "DataDir": "data"}, "Modules": {"Pupet": {}}}
    (tmp_path / "modulesettings.json").write_text(json.dumps(own))
    found = await examined(tmp_path)
    assert bad_ones(found) == ["settings", "Puppet: settings"]
    assert "Modules.Pupet: no such module" in found["settings"].finding
    assert "LaunchSettings.FilePath" in found["Puppet: settings"].finding


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    found = await examined(tmp_path / "mistyped")
    assert "settings" in bad_ones(found) and "nothing there" in found["settings"].finding


async def test_a_data_directory_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = await check_data(tmp_path / "file" / "data", answers)
    assert not check.is_good and "no directory" in check.finding and "--data-dir" in check.remedy


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes everywhere")
async def test_a_data_directory_that_may_not_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    check = await check_data(tmp_path / "data", answers)
    assert not check.is_good and "Permission denied" in check.finding and "user" in check.remedy


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="Linux has one to try")
async def test_a_data_directory_on_what_is_read_only() -> None:
    check = await check_data(Path("/proc/self"), answers)
    assert not check.is_good and check.finding.startswith("/proc/self cannot be used: ")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def held(folder: Path, record: dict[str, Any] | None) -> Iterator[None]:
    """A lock that somebody holds, and what he says of himself."""
    folder.mkdir()
    if record:
        (folder / FILE_NAME).write_text(json.dumps(record))
    with FileLock(folder / LOCK_NAME):
        yield


async def test_a_data_directory_that_somebody_holds(tmp_path: Path, stranger: int) -> None:
    frozen = {"pid": os.getpid(), "address": f"http://127.0.0.1:{stranger}", "since": "2999-01-01"}
    with held(tmp_path / "silent", frozen):
        check = await check_data(tmp_path / "silent", answers)
        assert not check.is_good and "which does not answer" in check.finding
        assert f"kill {os.getpid()}" in check.remedy
    with held(tmp_path / "nameless", None):
        check = await check_data(tmp_path / "nameless", answers)
        assert not check.is_good and "does not say which" in check.finding


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    check = check_disk(tmp_path / "data", free_bytes=lambda _folder: 1_000_000)
    assert not check.is_good and check.finding == f"0.0 GB free in {tmp_path}"
    assert "--data-dir" in check.remedy


def test_a_control_group_with_little_memory(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/user/shell\n")
    for name, limit in {"user": "max", "user/shell": str(2**28)}.items():
        group = tmp_path / "groups" / name
        group.mkdir(parents=True)
        (group / "memory.max").write_text(limit)
        (group / "memory.current").write_text(str(2**27))
        (group / "memory.stat").write_text("anon 1\nfile 0\n")
    check = check_memory(tmp_path / "groups", own)
    assert not check.is_good and "0.1 GB free of 0.3 GB" in check.finding
    assert str(tmp_path / "groups" / "user" / "shell") in check.finding
    assert check_memory(tmp_path / "none", own).is_good


def test_a_python_that_is_too_old() -> None:
    assert not check_python((3, 9, 1)).is_good and check_python((3, 10, 0)).is_good


async def test_a_redis_that_is_not_there(tmp_path: Path) -> None:
    store = f"redis://:secret@127.0.0.1:{free_port()}/0"
    found = await examined(write_root(tmp_path, Store=store))
    assert bad_ones(found) == ["redis"]
    assert "is it running" in found["redis"].finding and "secret" not in found["redis"].finding
    assert "Server.Store" in found["redis"].remedy


async def test_a_redis_that_is_there(tmp_path: Path) -> None:
    with redis_server(tmp_path) as running:
        assert (await check_redis(running.url)).is_good


async def test_a_module_that_cannot_be_launched(tmp_path: Path) -> None:
    launch = {"AutoStart": True, "FilePath": "none", "Runtime": "execute"}
    async with running_host(write_root(tmp_path, launch)) as host:
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{host.url}/v1/module/list/status") as response:
                    [status] = (await response.json())["statuses"]
                if status["status"] == "FailedStart":
                    break
            async with session.post(f"{host.url}/v1/text/tell", json={"prompt": "x"}) as response:
                assert "`llamachat doctor` says more" in (await response.json())["error"]
        [check] = await check_running(host.url, tmp_path / "logs")
        code, out, _ = await result(await llamachat("status", "--url", host.url))
    assert code == 0 and out.endswith("\n`llamachat doctor` says more\n")
    assert not check.is_good and "FailedStart: " in check.finding
    assert str(tmp_path / "logs" / "Puppet.log") in check.remedy


async def test_safe_mode_is_bad_and_has_the_modules_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    safe = {"gaveUp": ["AMX"], "reason": "it was killed by SIGSEGV", "remedy": "./install.sh"}
    status = {"moduleId": "M", "status": "Started", "reason": None, "safeMode": safe}

    async def statuses(_url: str, _token: str | None) -> list[dict[str, Any]]:
        return [status]

    monkeypatch.setattr("host.cli.doctor.modules.module_statuses", statuses)
    [check] = await check_running("", Path())
    assert check.finding == "Started in safe mode, without AMX: it was killed by SIGSEGV"
    assert (check.is_good, check.remedy) == (False, "./install.sh")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os.abort()", "killed by SIGABRT"),
        ("import time; time.sleep(99)", "has not ended within 1 s"),
        ("sys.exit('no more')", ""),
        ("sys.exit(7)", "exit code 7; last lines: a line of some library"),
    ],
)
async def test_a_program_that_ends_badly_has_still_said_something(
    tmp_path: Path, end: str, said: str
) -> None:
    write_program(write_root(tmp_path), f"{PROGRAM}{end}\n")
    found = await examined(tmp_path, limit_s=1 if "sleep" in end else 60)
    assert found["Puppet: flour"].is_good and not found["Puppet: oven"].is_good
    if said:
        assert said in found["Puppet: doctor"].finding
        assert "run it by hand" in found["Puppet: doctor"].remedy


async def test_a_program_that_finds_nothing(tmp_path: Path) -> None:
    write_program(write_root(tmp_path), "print('hello')\n")
    assert "it has found nothing; hello" in (await examined(tmp_path))["Puppet: doctor"].finding


async def test_an_environment_without_its_python(tmp_path: Path) -> None:
    write_program(write_root(tmp_path), PROGRAM)
    (tmp_path / "modules" / "Puppet" / ".venv").mkdir()
    found = await examined(tmp_path)
    assert bad_ones(found) == ["Puppet: environment", "Puppet: oven"]
    assert "llamachat setup" in found["Puppet: environment"].remedy


async def test_the_findings_as_json(tmp_path: Path, stranger: int) -> None:
    place = ["--root", str(write_root(tmp_path)), "--port", str(stranger)]
    code, out, _ = await result(await llamachat("doctor", *place, "--json"))
    said = json.loads(out)
    assert code == 1 and said["ok"] is False
    [bad] = [check for check in said["checks"] if not check["ok"]]
    assert set(bad) == {"check", "module", "ok", "finding", "remedy"} and bad["check"] == "port"
