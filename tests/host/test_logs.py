"""The log ring: bounded, in order, readable page by page."""

from __future__ import annotations

import logging
import threading

import pytest

from host.log.ring import MAX_ENTRY_CHARACTERS, LogRing, level_name


def test_entries_have_growing_ids_and_the_wires_fields() -> None:
    log = LogRing()
    log.add("first")
    entry = log.add("second", level="warning", category="LlamaChat", label="stderr")
    assert entry.id == 2
    assert set(entry.as_dict()) == {"id", "timestamp", "entry", "level", "category", "label"}
    assert entry.timestamp.endswith("+00:00")


def test_without_a_last_id_the_newest_are_listed_oldest_first() -> None:
    log = LogRing()
    for number in range(20):
        log.add(str(number))
    assert [item.entry for item in log.list(0, 3)] == ["17", "18", "19"]


def test_a_reader_that_passes_on_its_last_id_misses_nothing() -> None:
    log = LogRing()
    for number in range(1, 21):
        log.add(str(number))
    seen: list[str] = []
    last_id = 5
    while page := log.list(last_id, 4):
        seen += [item.entry for item in page]
        last_id = page[-1].id
    assert seen == [str(number) for number in range(6, 21)]


@pytest.mark.parametrize("count", [0, -1])
def test_nothing_is_asked_for_and_nothing_comes(count: int) -> None:
    log = LogRing()
    log.add("one")
    assert log.list(0, count) == []


def test_old_entries_leave_and_their_ids_are_not_used_again() -> None:
    log = LogRing(max_entries=3)
    for number in range(10):
        log.add(str(number))
    assert [item.id for item in log.list(0, 100)] == [8, 9, 10]


def test_a_long_entry_is_cut_and_says_so() -> None:
    entry = LogRing().add("x" * (MAX_ENTRY_CHARACTERS + 5)).entry
    assert entry.endswith("... (5 characters more)")


@pytest.mark.parametrize(
    ("given", "level"),
    [
        ("Information", "information"),
        ("info", "information"),
        (" WARN ", "warning"),
        ("error", "error"),
        ("fatal", "critical"),
        ("trace", "trace"),
        ("no such level", "information"),
        ("", "information"),
    ],
)
def test_levels_are_those_of_the_wire(given: str, level: str) -> None:
    assert level_name(given) == level


def test_each_entry_goes_to_pythons_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="llamachat"):
        LogRing().add("100% gone wrong", level="error", category="LlamaChat")
    assert caplog.record_tuples == [("llamachat", logging.ERROR, "LlamaChat: 100% gone wrong")]


def test_threads_write_side_by_side() -> None:
    log = LogRing(max_entries=1_000)
    threads = [
        threading.Thread(target=lambda: [log.add("x") for _ in range(100)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [item.id for item in log.list(0, 1_000)] == list(range(1, 801))
