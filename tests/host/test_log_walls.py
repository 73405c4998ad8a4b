"""What a stranger writes into the log: it forges no line, takes nobody's room, and stops nobody."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from puppet import Caller, running_host, write_root

from host.app import Host
from host.log import log_writer
from host.log.flood import MAX_CHARACTERS, MAX_ENTRIES, WINDOW_S, FloodGate
from host.log.log_files import LogFiles
from host.log.log_writer import LogWriter
from host.log.plain import PlainFormatter, one_line
from host.log.ring import MAX_ENTRY_CHARACTERS, MAX_LISTED_CHARACTERS, LogRing

FORGED = "2026-01-01 00:00:00,000 INFO    forged"
HOSTILE = f"x\n{FORGED}\r{FORGED}\x1b[2J\x1b]0;title\x07\u202e\u2028{FORGED}\x85\x00\ud800"


def test_control_characters_are_escaped_everywhere() -> None:
    made = LogRing().add(HOSTILE, category=HOSTILE, label=HOSTILE)
    for text in (made.entry, made.category, made.label):
        assert len(text.splitlines()) == 1 and text.isprintable()
    assert made.entry.startswith("x\\n2026") and "\\x1b[2J" in made.entry
    assert made.entry.endswith("\\x85\\x00\\ud800")


def test_plain_text_stays_as_it_is() -> None:
    text = 'C:\\new "löaded" 100% 模型 🦙 \ta'
    assert one_line(text) == text


def test_names_are_cut() -> None:
    made = LogRing().add("x", category="c" * 1_000_000, label="l" * 1_000_000)
    assert len(made.category) < 150 and len(made.label) < 150


def test_a_list_is_bounded_in_bytes_and_pages_on() -> None:
    log = LogRing()
    for _ in range(500):
        log.add('"' * 4_000, category="\N{LLAMA}" * 100, label="\\" * 100)
    newest = log.list(0, 1_000)
    assert newest[-1].id == 500 and 1 < len(newest) < 500
    assert len(json.dumps([one.as_dict() for one in newest])) < 8 * MAX_LISTED_CHARACTERS
    assert len(json.dumps([one.as_dict() for one in newest], ensure_ascii=False)) < 1_000_000
    seen, last_id = 0, 1
    while page := log.list(last_id, 1_000):
        seen, last_id = seen + len(page), page[-1].id
    assert seen == 499


async def test_what_twenty_large_entries_leave(host: Host, client: Caller) -> None:
    large = "x" * 1_000_000
    for _ in range(20):
        values = {"entry": large, "category": large, "label": large, "log_level": large}
        body = io.BytesIO(json.dumps(values).encode())
        assert (await client.call("POST", "/v1/log", data=body))[0] == 200
    async with client.session.get(client.url + "/v1/log/list?count=1000") as reply:
        assert len(await reply.read()) < 200_000


def test_the_formatter_indents_what_the_host_itself_logs_in_lines() -> None:
    record = logging.makeLogRecord({"msg": f"boom\n{FORGED}\x1b[2J"})
    lines = PlainFormatter("%(message)s").format(record).splitlines()
    assert lines == ["boom", f"    {FORGED}\\x1b[2J"]


async def test_no_line_of_the_files_is_forged(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "logs", ["Puppet"])
    async with running_host(write_root(tmp_path)) as host, aiohttp.ClientSession() as session:
        host.log.sinks.append(files.write)
        logging.getLogger().addHandler(files.host)
        try:
            client = Caller(session, host.url)
            hostile = HOSTILE.replace("\ud800", "")
            for category in ("Puppet", hostile):
                values = {"entry": hostile, "category": category, "label": hostile}
                await client.post("/v1/log", values)
            path = "/v1/text/%0A" + FORGED.replace(" ", "%20") + "%1b%0d"
            assert (await client.call("GET", path))[0] == 404
            logging.getLogger("x").warning("a host's own line about %s", hostile)
        finally:
            logging.getLogger().removeHandler(files.host)
            files.close()
    for file in (tmp_path / "logs").iterdir():
        text = file.read_text(encoding="utf-8")
        assert text and not [one for one in text.splitlines() if one.startswith(FORGED)], file
        assert "\x1b" not in text


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_module_that_floods_leaves_room_for_the_others() -> None:
    log, clock = LogRing(), Clock()
    gate = FloodGate(log, ["A", "B"], clock=clock)
    taken = [gate.add("x", level="", category="a", label="") for _ in range(3 * MAX_ENTRIES)]
    assert sum(taken) == MAX_ENTRIES
    assert gate.add("x", level="", category="B", label="")
    assert len([one for one in log.list(0, 9_999) if "left out" in one.entry]) == 1
    clock.now_s = WINDOW_S
    assert gate.add("x", level="", category="A", label="")
    assert log.list(0, 2)[0].entry.startswith(f"{2 * MAX_ENTRIES} log entries were left out")


def test_made_up_names_share_one_measure() -> None:
    log = LogRing()
    gate = FloodGate(log, ["A"], clock=Clock())
    entry = "x" * 2 * MAX_ENTRY_CHARACTERS
    taken = [gate.add(entry, level="", category=f"c{n}", label="") for n in range(100)]
    assert sum(taken) == MAX_CHARACTERS // MAX_ENTRY_CHARACTERS


class Stuck(logging.Handler):
    """A disk that does not answer until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.lines = threading.Event(), list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        self.free.wait(30)
        self.lines.append(record.getMessage())


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    handler = Stuck()
    yield handler
    handler.free.set()


async def test_a_slow_disk_keeps_nobody_waiting(
    stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "MAX_WAITING", 100)
    written: list[int] = []
    log, writer = LogRing(), LogWriter(stuck, write=lambda entry: written.append(entry.id))
    log.sinks.append(writer.take)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    writer.start()
    try:
        for number in range(1_000):
            log.add(f"line {number}")
        await asyncio.sleep(0)  # here already, while nothing could be written
        assert not stuck.lines and len(log.list(0, 9_999)) == 1_000
        stuck.free.set()
        await asyncio.to_thread(writer._inbox.join)
        log.add("the last")
    finally:
        writer.stop()
        logging.getLogger().setLevel(level)
    assert "host: the last" in stuck.lines and written[-1] == 1_001
    assert any("log lines were left out" in line for line in stuck.lines)
