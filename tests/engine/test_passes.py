"""Prompts that share a pass over the weights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_engine.schedule.passes import BLOCK_ROWS, choose_pass

PASS_MS, ROW_MS = 10.0, 2.8


def took_ms(rows: int) -> float:
    return PASS_MS + ROW_MS * BLOCK_ROWS * -(-rows // BLOCK_ROWS)


def evaluate_all(lengths: dict[int, int], rows: int) -> tuple[float, list[int]]:
    """Milliseconds for all prompts, shortest first, and the streams in the order of their ends."""
    left, total_ms, ended = dict(lengths), 0.0, []
    while left:
        first = min(left, key=lambda stream: (left[stream], stream))
        streams, count = choose_pass(first, left, rows, rows * 5 // 4, PASS_MS, ROW_MS)
        total_ms += took_ms(len(streams) * count)
        for stream in streams:
            left[stream] -= count
            if not left[stream]:
                del left[stream]
                ended.append(stream)
    return total_ms, ended


@given(
    st.dictionaries(st.integers(0, 15), st.integers(1, 700), min_size=1, max_size=16),
    st.integers(4, 512),
)
def test_a_pass_is_of_neighbours_with_enough_left_and_within_the_budget(
    wanted: dict[int, int], rows: int
) -> None:
    first = min(wanted, key=lambda stream: wanted[stream])
    streams, count = choose_pass(first, wanted, rows, rows + 20, PASS_MS, ROW_MS)
    assert first in streams
    assert streams == list(range(streams[0], streams[0] + len(streams)))
    assert 0 < count <= min(wanted[stream] for stream in streams)
    assert len(streams) * count <= rows + 20


def test_prompts_together_take_less_than_one_after_the_other() -> None:
    for length in (76, 85, 90, 101):
        together_ms, _ = evaluate_all(dict.fromkeys(range(8), length), 80)
        alone_ms, _ = evaluate_all({0: length}, 80)
        assert together_ms < 8 * alone_ms
        perfect_ms = 8 * length * (ROW_MS + PASS_MS / 80)
        assert together_ms < 1.06 * perfect_ms, length


def test_the_first_prompts_end_long_before_the_last() -> None:
    left = dict.fromkeys(range(8), 90)
    half_ms = evaluate_all(dict.fromkeys(range(4), 90), 80)[0]
    assert half_ms < 0.55 * evaluate_all(left, 80)[0]


def test_a_prompt_without_neighbours_goes_alone() -> None:
    assert choose_pass(3, {3: 90, 5: 90}, 80, 96, PASS_MS, ROW_MS)[0] == [3]


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(ValueError, match="stream 2"):
        choose_pass(2, {1: 5}, 80, 96, PASS_MS, ROW_MS)
