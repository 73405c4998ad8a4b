"""A process's output as log entries, whatever it prints."""

from __future__ import annotations

from host.log.ring import LogRing
from host.processes.output import KEPT_LINES, MAX_LINE_BYTES, MAX_LINES_PER_S, OutputLog
from host.processes.process import STDERR, STDOUT


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def entries(log: LogRing) -> list[str]:
    return [item.entry for item in log.list(0, 10_000)]


def test_lines_are_put_together_from_chunks_for_each_stream() -> None:
    log = LogRing()
    output = OutputLog(log, "M")
    for stream, chunk in [(STDOUT, b"he"), (STDERR, b"wor"), (STDOUT, b"llo\n"), (STDERR, b"ld")]:
        output.feed(stream, chunk)
    assert entries(log) == ["hello"]
    output.finish()
    assert [(item.entry, item.label, item.category) for item in log.list()] == [
        ("hello", "stdout", "M"),
        ("world", "stderr", "M"),
    ]


def test_a_progress_bar_that_goes_back_makes_lines() -> None:
    log = LogRing()
    OutputLog(log, "M").feed(STDERR, b"\r10%\r50%\r\n\r\n100%\n")
    assert entries(log) == ["10%", "50%", "100%"]


def test_terminal_codes_and_broken_utf8_do_not_reach_the_log() -> None:
    log = LogRing()
    OutputLog(log, "M").feed(STDERR, b"\x1b[31mred\x1b[0m\x07 \xff tab\there\n")
    assert entries(log) == ["red \N{REPLACEMENT CHARACTER} tab\there"]


def test_a_line_without_end_is_cut_and_not_kept_in_memory() -> None:
    log = LogRing()
    output = OutputLog(log, "M")
    for _ in range(1_000):
        output.feed(STDOUT, b"x" * 65_536)
    assert max(len(rest) for rest in output._unfinished.values()) == MAX_LINE_BYTES + 1
    output.feed(STDOUT, b"\nnext\n")
    assert entries(log) == ["x" * MAX_LINE_BYTES + "... (line cut)", "next"]


def test_a_line_of_exactly_the_limit_is_whole() -> None:
    log = LogRing()
    output = OutputLog(log, "M")
    output.feed(STDOUT, b"x" * MAX_LINE_BYTES + b"\n")
    assert entries(log) == ["x" * MAX_LINE_BYTES]


def test_of_a_flood_a_part_is_left_out_and_counted() -> None:
    log, clock = LogRing(), Clock()
    output = OutputLog(log, "M", clock=clock)
    output.feed(STDERR, b"flood\n" * (MAX_LINES_PER_S + 30))
    assert len(entries(log)) == MAX_LINES_PER_S
    clock.now_s = 1.5
    output.feed(STDERR, b"after\n")
    assert entries(log)[-2].startswith("30 lines of output left out")
    assert entries(log)[-1] == "after"


def test_what_was_left_out_at_the_end_is_counted_too() -> None:
    log = LogRing()
    output = OutputLog(log, "M", clock=Clock())
    output.feed(STDERR, b"flood\n" * (MAX_LINES_PER_S + 1))
    output.finish()
    assert entries(log)[-1].startswith("1 lines of output left out")


def test_the_last_lines_are_those_of_standard_error_even_in_a_flood() -> None:
    output = OutputLog(LogRing(), "M", clock=Clock())
    output.feed(STDOUT, b"said\n")
    assert output.last_lines() == ["said"]
    output.feed(STDERR, b"".join(b"%d\n" % number for number in range(5_000)))
    assert output.last_lines() == [str(number) for number in range(5_000 - KEPT_LINES, 5_000)]
