"""The log in files: what goes where, how large, and for whose eyes."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from host.log import log_files
from host.log.log_files import LogFiles
from host.log.ring import LogRing


def made(folder: Path, *module_ids: str) -> tuple[LogRing, LogFiles]:
    files = LogFiles(folder / "data" / "logs", module_ids)
    log = LogRing()
    log.sinks.append(files.write)
    return log, files


def read(folder: Path, name: str) -> str:
    return (folder / "data" / "logs" / name).read_text(encoding="utf-8")


def test_each_module_has_a_file_of_its_own(tmp_path: Path) -> None:
    log, files = made(tmp_path, "LlamaChat", "Other")
    log.add("the model is löaded", category="llamachat", label="stderr")
    log.add("it crashed", level="error", category="Other")
    log.add("a stranger's words", category="../../etc/passwd")
    files.close()
    line = read(tmp_path, "LlamaChat.log")
    assert "INFORMATION stderr: the model is löaded" in line and line.count("\n") == 1
    assert "ERROR       it crashed" in read(tmp_path, "Other.log")
    assert sorted(one.name for one in (tmp_path / "data" / "logs").iterdir()) == [
        "LlamaChat.log",
        "Other.log",
    ]


def test_the_hosts_file_has_what_the_console_shows(tmp_path: Path) -> None:
    _, files = made(tmp_path)
    files.host.handle(logging.makeLogRecord({"msg": "listening", "levelname": "INFO"}))
    files.close()
    assert "INFO    listening" in read(tmp_path, "host.log")


@pytest.mark.skipif(os.name != "posix", reason="about permissions")
def test_they_are_private(tmp_path: Path) -> None:
    log, files = made(tmp_path, "M")
    log.add("a secret", category="M")
    files.close()
    folder = tmp_path / "data" / "logs"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "M.log").stat().st_mode) == 0o600


def test_they_rotate_and_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "MAX_BYTES", 1_000)
    log, files = made(tmp_path, "M")
    for number in range(200):
        log.add(f"line {number} " + "x" * 50, category="M")
    files.close()
    found = sorted((tmp_path / "data" / "logs").iterdir())
    assert [one.name for one in found] == ["M.log", *(f"M.log.{n}" for n in range(1, 5))]
    assert all(one.stat().st_size <= 1_000 for one in found)
    assert "line 199" in read(tmp_path, "M.log")


def test_a_module_called_host_does_not_write_over_the_hosts(tmp_path: Path) -> None:
    log, files = made(tmp_path, "Host", "a/b")
    log.add("mine", category="host")
    log.add("odd", category="a/b")
    files.close()
    assert "mine" in read(tmp_path, "module_host.log") and "odd" in read(tmp_path, "a_b.log")


def test_a_file_that_cannot_be_written_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, files = made(tmp_path, "M")
    (tmp_path / "data" / "logs" / "M.log").mkdir()
    for _ in range(3):
        log.add("lost", category="M")
    files.close()
    assert capsys.readouterr().err.count("cannot be written") == 1
    assert len(log.list(0, 10)) == 3


def test_the_ring_lists_one_category() -> None:
    log = LogRing()
    for number in range(6):
        log.add(str(number), category="A" if number % 2 else "B")
    assert [item.entry for item in log.list(0, 2, "a")] == ["3", "5"]
    assert [item.entry for item in log.list(1, 10, "B")] == ["2", "4"]
    assert log.list(0, 10, "nobody") == []
