"""Which prompts share a pass over the weights, where each sequence has a stream of its own.

Invariant: a pass takes equally many tokens of sequences in neighbouring streams (llama.cpp's rule),
and no more than fit.

The kernels work on whole blocks of rows: a pass of 26 rows takes as long as one of 32. A prompt is
seldom a whole number of blocks, so its last piece is filled up with pieces of its neighbours'
prompts where that costs less per token.
"""

from __future__ import annotations

from collections.abc import Mapping

BLOCK_ROWS = 16
_MOST_NEIGHBOURS = 4
_GAIN = 1.001
"""More neighbours have to be worth it: the first one's reply begins later."""


def choose_pass(
    first: int,
    wanted: Mapping[int, int],
    rows: int,
    rows_to_end: int,
    pass_ms: float,
    row_ms: float,
) -> tuple[list[int], int]:
    """The streams of a pass with stream `first` in it, and the tokens of each.

    `wanted` is tokens left by stream, `rows` the budget, and `rows_to_end` that of a pass in which
    `first` ends. A pass takes `pass_ms`, and `row_ms` for every row of whole blocks. Raises
    ValueError where `first` has nothing left.
    """
    has_neighbours = wanted.get(first - 1) or wanted.get(first + 1)
    if not has_neighbours and 0 < wanted.get(first, 0) <= rows_to_end:
        return [first], wanted[first]
    best: tuple[float, list[int], int] | None = None
    for size in range(1, _MOST_NEIGHBOURS + 1):
        for start in range(first - size + 1, first + 1):
            streams = list(range(start, start + size))
            if not all(wanted.get(stream) for stream in streams):
                continue
            least = min(wanted[stream] for stream in streams)
            for count in _counts(size, least, wanted[first], rows, rows_to_end):
                rows_taken = -(-size * count // BLOCK_ROWS) * BLOCK_ROWS
                worth = size * count / (pass_ms + (row_ms or 1.0) * rows_taken)
                if best is None or worth > best[0] * _GAIN:
                    best = (worth, streams, count)
    if best is None:
        raise ValueError(f"stream {first} has no tokens to evaluate")
    return best[1], best[2]


def _counts(size: int, least: int, first: int, rows: int, rows_to_end: int) -> list[int]:
    """Tokens that so many streams may each have: up to the first one's end, or whole blocks."""
    counts = []
    if first == least and size * first <= rows_to_end:
        counts.append(first)
    whole = min(least, rows // size)
    while whole > 0 and size * whole % BLOCK_ROWS:
        whole -= 1
    if whole:
        counts.append(whole)
    return counts or ([min(least, max(rows, 1))] if size == 1 else [])
