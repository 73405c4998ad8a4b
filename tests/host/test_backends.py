"""The store that the settings name, and what a host's users see of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller, Puppet, running_host, write_root

from host.backends import open_backend
from host.settings import ServerSettings, load_settings
from host.settings.places import data_dir, default_config_dir, default_data_dir
from host.store.local import LocalStore
from host.store.memory import MemoryStore


def server(root: Path, **values: Any) -> ServerSettings:
    return ServerSettings.model_validate({"root_path": root, **values})


def test_the_settings_choose_the_store(tmp_path: Path) -> None:
    assert isinstance(open_backend(server(tmp_path))[0], LocalStore)
    memory, _ = open_backend(server(tmp_path, Store="memory"))
    assert isinstance(memory, MemoryStore) and not memory.is_kept
    shared, _ = open_backend(server(tmp_path, Store="redis://127.0.0.1:1/0"))
    assert shared.is_shared


def test_the_address_of_a_store_is_not_shown(tmp_path: Path) -> None:
    assert "sesame" not in repr(server(tmp_path, Store="redis://:sesame@127.0.0.1/0"))


def test_the_data_directory_is_the_settings_or_the_systems(tmp_path: Path) -> None:
    env = {"HOME": "/home/ann"}
    assert data_dir(server(tmp_path, DataDir="data"), env) == tmp_path / "data"
    assert data_dir(server(tmp_path, DataDir="/var/chat"), env) == Path("/var/chat")
    assert data_dir(server(tmp_path), env | {"LLAMACHAT_DATA_DIR": "/x"}) == Path("/x")


@pytest.mark.skipif(sys.platform != "linux", reason="the names of Linux")
def test_without_a_name_the_system_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/home/ann/data")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/ann/settings")
    assert default_data_dir({}) == Path("/home/ann/data/llamachat")
    assert default_config_dir({}) == Path("/home/ann/settings/llamachat")
    assert default_config_dir({"LLAMACHAT_CONFIG_DIR": "/x"}) == Path("/x")


async def test_a_reply_outlives_the_host_until_it_is_deleted(tmp_path: Path) -> None:
    root = write_root(tmp_path)
    secret = b"nobody else may read this"
    async with aiohttp.ClientSession() as session:
        async with running_host(root) as host:
            puppet = Puppet(session, host.url)
            await puppet.poll(wait=0)
            ended, waiting = await puppet.tell(), await puppet.tell()
            await puppet.finish(await puppet.take(), 0, secret.decode())
        async with running_host(root) as host:
            client = Caller(session, host.url)
            assert (await client.status(ended))["reply"] == secret.decode()
            assert (await client.status(waiting))["state"] == "queued"
            assert secret in on_disk(tmp_path)
            status, _ = await client.call("DELETE", f"/v1/commands/{ended}")
            assert status == 200
            status, _ = await client.call("GET", f"/v1/commands/{ended}")
            assert status == 404
    assert secret not in on_disk(tmp_path)


def on_disk(root: Path) -> bytes:
    return b"".join(one.read_bytes() for one in (root / "data").rglob("*") if one.is_file())


async def test_a_second_host_says_who_holds_the_data(tmp_path: Path) -> None:
    root = write_root(tmp_path)
    async with running_host(root):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "host", "serve", "--root", str(root)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode == 1 and "Explorer" not in out.decode()
    assert "is held by another host (process" in err.decode()
    assert "Traceback" not in err.decode() and "--data-dir" in err.decode()


async def test_the_command_line_names_the_data_directory(tmp_path: Path) -> None:
    root = write_root(tmp_path / "root")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "host", "serve", "--root", str(root)),
        *("--data-dir", str(tmp_path / "elsewhere")),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readuntil(b"Explorer:")
    process.terminate()
    await process.communicate()
    assert (tmp_path / "elsewhere" / "commands").is_dir()
    assert not (load_settings(root).server.root_path / "data").exists()
