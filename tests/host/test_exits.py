"""What a process died of, in words."""

from __future__ import annotations

import sys

import pytest

from host.exits import describe_exit, free_memory_bytes


@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (0, "it ended with exit code 0 although nobody had asked it to"),
        (1, "exit code 1"),
        (0xC0000005, "exit code 3221225477 (0xC0000005)"),
        (-250, "killed by signal 250"),
    ],
)
def test_exit_codes(returncode: int, text: str) -> None:
    assert describe_exit(returncode, []) == text


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (
            -9,
            "killed by SIGKILL (signal 9): probably out of memory; free memory now 1.2 GB",
        ),
        (-11, "killed by SIGSEGV (signal 11): a fault in native code"),
        (-4, "killed by SIGILL (signal 4): a build for another kind of CPU"),
        (-15, "killed by SIGTERM (signal 15)"),
    ],
)
def test_signals(returncode: int, text: str) -> None:
    assert describe_exit(returncode, [], lambda: 1_234_567_890) == text


def test_the_last_lines_are_quoted() -> None:
    lines = ["one", "  two", "three", "ValueError: four"]
    assert describe_exit(1, lines) == "exit code 1; last lines: two | three | ValueError: four"


def test_long_last_lines_are_cut_at_the_front() -> None:
    text = describe_exit(1, ["x" * 5_000, "the cause"])
    assert text.endswith("the cause")
    assert len(text) < 700


def test_free_memory_is_plausible() -> None:
    assert free_memory_bytes() > 1_000_000
