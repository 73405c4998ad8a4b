"""A host whose start failed: it says why, and stopping it afterwards is no second failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from puppet import running_host, write_root

from host.app import Host, PortInUse
from host.settings import load_settings
from host.store.protocol import StoreLocked


async def test_a_taken_port(tmp_path: Path) -> None:
    async with running_host(write_root(tmp_path / "a")) as first:
        second = Host(load_settings(write_root(tmp_path / "b", Port=first.server.port)))
        with pytest.raises(PortInUse):
            await second.start()
        await second.stop()


async def test_a_store_that_another_holds(tmp_path: Path) -> None:
    root = write_root(tmp_path)
    async with running_host(root) as first:
        second = Host(load_settings(root))
        with pytest.raises(StoreLocked):
            await second.start()
        await second.stop()
        assert await first.store.stats("puppet_queue") is not None, "its store is untouched"
    async with running_host(root):
        pass  # nor is anything left that locks it


async def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    host = Host(load_settings(write_root(tmp_path / "a", DataDir=str(tmp_path / "file" / "x"))))
    with pytest.raises(Exception, match="data directory"):
        await host.start()
    await host.stop()


async def test_a_host_that_was_never_started(tmp_path: Path) -> None:
    await Host(load_settings(write_root(tmp_path))).stop()
