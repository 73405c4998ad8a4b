"""What a process died of, in words."""

from __future__ import annotations

import sys

import pytest

from host.processes.exits import FreeMemory, describe_exit, free_memory_bytes, is_fault


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
    assert describe_exit(returncode, [], 0) == text


@pytest.mark.parametrize("returncode", [0, 1, 139, 0xC000013A, -250])
def test_what_is_no_fault(returncode: int) -> None:
    assert not is_fault(returncode), "an exit code, Ctrl-C on Windows, no known signal"


def test_an_exception_of_windows_is_a_fault() -> None:
    assert is_fault(0xC0000005) and is_fault(0xC000001D)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_signals_that_are_faults() -> None:
    assert all(is_fault(-number) for number in (4, 5, 6, 7, 8, 9, 11))
    assert not any(is_fault(-number) for number in (1, 2, 3, 10, 13, 15)), "somebody's wish"


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (
            -9,
            "killed by SIGKILL (signal 9): probably out of memory; "
            "free memory just before was 1.2 GB",
        ),
        (-11, "killed by SIGSEGV (signal 11): a fault in native code"),
        (-4, "killed by SIGILL (signal 4): a build for another kind of CPU"),
        (-15, "killed by SIGTERM (signal 15)"),
    ],
)
def test_signals(returncode: int, text: str) -> None:
    assert describe_exit(returncode, [], 1_234_567_890) == text


def test_the_last_lines_are_quoted() -> None:
    lines = ["one", "  two", "three", "ValueError: four"]
    assert describe_exit(1, lines, 0) == "exit code 1; last lines: two | three | ValueError: four"


def test_long_last_lines_are_cut_at_the_front() -> None:
    text = describe_exit(1, ["x" * 5_000, "the cause"], 0)
    assert text.endswith("the cause")
    assert len(text) < 700


def test_free_memory_is_plausible() -> None:
    assert free_memory_bytes() > 1_000_000


def test_the_least_of_the_last_looks_counts() -> None:
    looks = iter([1, 900, 50, 700, 800])
    memory = FreeMemory(lambda: next(looks))
    for _ in range(4):
        memory.look()
    assert memory.last_bytes == 50, "the last three: after the death much is free again"
