"""The states of a command: the table holds, whatever is tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.commands import MOVES, Command, IllegalMove, NewCommand, Outcome, State
from host.wire import system_payload


def made() -> Command:
    return Command.create(NewCommand("M", "m_queue", "go", system_payload("m_queue", "go"), True))


@given(st.lists(st.sampled_from(State), max_size=12))
def test_only_the_tables_moves_happen(moves: list[State]) -> None:
    command = made()
    for to in moves:
        before, version = command.state, command.version
        if to in MOVES[before]:
            command.move(to)
            assert command.state is to and command.version == version + 1
        else:
            with pytest.raises(IllegalMove, match=f"is {before.value} and cannot become"):
                command.move(to)
            assert command.state is before and command.version == version


@pytest.mark.parametrize("end", [s for s in State if s.is_terminal])
def test_an_end_is_final(end: State) -> None:
    assert MOVES[end] == frozenset()


def test_the_outcome_is_read_from_the_result() -> None:
    assert Outcome.of({"success": True}).state is State.COMPLETED
    assert Outcome.of({"success": True, "stop_reason": "length"}).state is State.COMPLETED
    assert Outcome.of({"success": True, "stop_reason": "cancelled"}).state is State.CANCELLED
    failed = Outcome.of({"success": False})
    assert failed.state is State.FAILED and "no reason" in failed.result["error"]
