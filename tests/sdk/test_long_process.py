"""RunningCommand: its text and fields, from several threads, and after the end."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk import LongProcess, RunningCommand


def make() -> RunningCommand:
    return RunningCommand("id", lambda: None)


@given(st.lists(st.text(alphabet=st.characters(categories=["Cs", "L", "So"]))))
def test_length_counts_code_points_of_what_is_kept(parts: list[str]) -> None:
    command = make()
    for part in parts:
        command.append(part)
    assert command.output.total == len(command.text)
    command.text.encode()


def test_threads_lose_nothing() -> None:
    command = make()

    def write(letter: str) -> None:
        for number in range(500):
            command.append(letter)
            command.set(**{letter: number})
            if number % 50 == 0:
                assert len(command.text) <= command.output.total

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(command.text) == sorted("abcd" * 500)
    assert command.output.fields() == (dict.fromkeys("abcd", 499), 2000)


def test_wrong_use_is_told_where_it_happens() -> None:
    with pytest.raises(TypeError, match="append expects a str, got int"):
        make().append(cast(Any, 5))
    with pytest.raises(TypeError):
        make().set(x=object())
    with pytest.raises(ValueError, match="names of your own, got state, success:"):
        make().set(success=True, words=1, state="done")
    with pytest.raises(TypeError, match="LongProcess expects a function, got str"):
        LongProcess(cast(Any, "text"))


def test_nothing_changes_after_the_end() -> None:
    changes: list[int] = []
    command = RunningCommand("id", lambda: changes.append(1))
    command.append("a")
    command.append("")
    command.output.close()
    command.append("b")
    command.set(x=1)
    assert command.text == "a" and command.output.fields() == ({}, 0) and len(changes) == 1


def test_cancel_is_its_own() -> None:
    one, other = make(), make()
    one.request_cancel()
    assert one.is_cancelled and not other.is_cancelled
