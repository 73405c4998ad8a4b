"""Where a running host is, as `ask`, `status` and `drain` find it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from pathlib import Path

import pytest
from puppet import write_root
from test_cli import llamachat, result

from host.cli.client import HostError
from host.cli.whereabouts import announced, host_url
from host.store.holder import FILE_NAME, read_holder, remove_holder, write_holder

OWN = "http://127.0.0.1:5"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A deployment that names port 7, with its data in `data`."""
    (tmp_path / "data").mkdir()
    return write_root(tmp_path, Port=7)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_what_a_host_says_is_private_and_is_gone_at_its_end(tmp_path: Path) -> None:
    with announced(tmp_path, OWN):
        assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
        holder = read_holder(tmp_path)
        assert holder is not None and (holder.pid, holder.address) == (os.getpid(), OWN)
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_has_ended_counts_as_absent(tmp_path: Path) -> None:
    write_holder(tmp_path, OWN)
    record = json.loads((tmp_path / FILE_NAME).read_text())
    for change in ({"pid": 2**22 + 1}, {"since": "2001-01-01T00:00:00+00:00"}):
        (tmp_path / FILE_NAME).write_text(json.dumps(record | change))
        assert read_holder(tmp_path) is None
    for text in ("", "{}", "[1]", '{"pid": "x"}'):
        (tmp_path / FILE_NAME).write_text(text)
        assert read_holder(tmp_path) is None


def test_the_word_of_another_host_is_left_alone(tmp_path: Path) -> None:
    parent = {"pid": os.getppid(), "address": OWN, "since": "2999-01-01T00:00:00+00:00"}
    (tmp_path / FILE_NAME).write_text(json.dumps(parent))
    remove_holder(tmp_path)
    assert read_holder(tmp_path) is not None


def test_a_directory_that_cannot_be_written_costs_no_more_than_that(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with announced(tmp_path / "file" / "data", OWN):
        pass


def test_the_url_wins_then_the_host_that_runs_then_the_settings(root: Path) -> None:
    assert host_url(None, None, root) == "http://127.0.0.1:7"
    with announced(root / "data", OWN):
        assert host_url(None, None, root) == OWN
        assert host_url(None, root / "data", root / "nonexist") == OWN
        assert host_url("http://there", None, root) == "http://there"
    assert host_url(None, None, root) == "http://127.0.0.1:7"


def test_without_a_port_a_host_that_does_not_run_cannot_be_found(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"no host runs with the data directory .*data, and"):
        host_url(None, None, write_root(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_host_on_any_port_is_found_and_drained(tmp_path: Path) -> None:
    data = tmp_path / "elsewhere"
    write_root(tmp_path / "root")
    place = ["--root", str(tmp_path / "root"), "--data-dir", str(data)]
    host = await llamachat("serve", *place)
    assert host.stdout is not None
    while b"Ctrl-C" not in await host.stdout.readline():
        pass
    code, out, err = await result(await llamachat("status", *place))
    assert code == 0 and out.startswith("Puppet"), err
    code, out, _ = await result(await llamachat("drain", *place))
    assert code == 0 and "the host has ended" in out
    assert (await asyncio.wait_for(result(host), 10))[0] == 0
    assert not (data / FILE_NAME).exists()
