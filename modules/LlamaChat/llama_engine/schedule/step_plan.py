"""What the next step evaluates.

Invariant: every generating sequence has its one row in every step, unless it has only just begun
and waits for prompts that came with its own; the rest of the budget goes to prompts.

With a pool of cells all rows are one batch, and one pass over the weights. With a stream for each
sequence llama.cpp takes equally many rows of neighbouring streams in a pass, so a prompt has a pass
of its own anyway: the replies' rows come first, in the streams' order, and are sampled and handed
out before the prompts' turn. Pieces of prompts are of whole `EVEN_TOKENS`, which the kernels like
best (25 tokens may take as long as 32), and which round alike whatever the number.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from llama_engine.llama.batch import Batch
from llama_engine.memory.kv_cache import Slot
from llama_engine.schedule.budget import StepBudget, StepTokens
from llama_engine.schedule.passes import choose_pass
from llama_engine.schedule.sequence import Sequence
from llama_engine.text.tokens import view

_AGE_WEIGHT = 1.0
"""A prompt that has waited for a second goes before one that is a second of work shorter."""
_LEAST_SHARE = 16
"""A second prompt joins a step only with so many tokens: each may cost a pass over the weights."""
EVEN_TOKENS = 16


@dataclass
class Chunk:
    """Rows of one sequence in a step: its next `count` tokens."""

    sequence: Sequence
    slot: Slot
    count: int
    row: int = -1
    """Row of the batch with the logits for the next token; -1 where none is wanted yet."""

    @property
    def has_output(self) -> bool:
        return self.count == self.sequence.todo


def plan_step(
    running: Iterable[Sequence], budget: StepBudget, is_shared: bool
) -> list[list[Chunk]]:
    """Choose what to evaluate, batch by batch. `is_shared` says that all have one pool of cells."""
    generating: list[Sequence] = []
    prompts: list[Sequence] = []
    for sequence in running:
        (generating if sequence.is_generating else prompts).append(sequence)
    if prompts and _came_together(generating, prompts):
        if budget.is_soon_done(sum(_wanted(sequence) for sequence in prompts)):
            generating = [sequence for sequence in generating if not sequence.first_token_s]
    replies = [_chunk(sequence, 1) for sequence in generating]
    if prompts and not replies and not is_shared:
        return [_joint_pass(prompts, budget)]
    pieces: list[Chunk] = []
    if prompts:
        pieces = _prompt_chunks(prompts, budget.tokens(len(generating), len(prompts)))
    batches = [[*replies, *pieces]] if is_shared else [replies, *([piece] for piece in pieces)]
    return [batch for batch in batches if batch]


def _joint_pass(prompts: list[Sequence], budget: StepBudget) -> list[Chunk]:
    """While nobody reads: the most urgent prompt, and neighbours that make the pass worth more."""
    now = time.monotonic()
    by_stream = {each.slot.index: each for each in prompts if each.slot is not None}
    first = min(by_stream, key=lambda stream: _urgency(by_stream[stream], now))
    tokens = budget.tokens(0, len(prompts))
    streams, count = choose_pass(
        first,
        {stream: _wanted(sequence) for stream, sequence in by_stream.items()},
        tokens.beginning,
        tokens.ending,
        budget.decode_ms(1),
        budget.prompt_ms,
    )
    return [_chunk(by_stream[stream], count) for stream in streams]


def _came_together(generating: list[Sequence], prompts: list[Sequence]) -> bool:
    """Whether no reply had begun when the last of the prompts came."""
    if any(sequence.completion_tokens for sequence in prompts):  # one that stepped back goes on
        return False
    last_s = max(sequence.arrived_s for sequence in prompts)
    return all(not each.first_token_s or each.first_token_s > last_s for each in generating)


def _prompt_chunks(prompts: list[Sequence], tokens: StepTokens) -> list[Chunk]:
    """Share the budget: what is soon done first, but nobody waits for ever."""
    now = time.monotonic()
    chunks: list[Chunk] = []
    spent = 0
    for sequence in sorted(prompts, key=lambda each: _urgency(each, now)):
        is_beginning = sequence.evaluated_tokens < tokens.short
        left = (tokens.beginning if is_beginning else tokens.going_on) - spent
        count = min(_wanted(sequence), left)
        if chunks and count < min(_LEAST_SHARE, _wanted(sequence)):
            continue
        if EVEN_TOKENS <= count < _wanted(sequence):
            count -= count % EVEN_TOKENS
        if count > 0:
            chunks.append(_chunk(sequence, count))
            spent += count
    return chunks


def _wanted(sequence: Sequence) -> int:
    """Tokens up to where the sequence next has to stop."""
    wanted = sequence.todo - (1 if sequence.keeps_last_apart and sequence.todo > 1 else 0)
    held = sequence.slot.length if sequence.slot else 0
    return min(wanted, sequence.pause_at - held) if sequence.pause_at > held else wanted


def _urgency(sequence: Sequence, now_s: float) -> tuple[float, int]:
    """Smaller is more urgent: tokens left, less the time waited (about three tokens in 10 ms)."""
    waited = (now_s - sequence.arrived_s) * 300 * _AGE_WEIGHT
    return (_wanted(sequence) - waited, sequence.number)


def _chunk(sequence: Sequence, count: int) -> Chunk:
    slot = sequence.slot
    if slot is None:
        raise ValueError("only a sequence with a slot can be evaluated")
    return Chunk(sequence, slot, count)


def fill_batch(batch: Batch, chunks: list[Chunk]) -> None:
    """Write the chunks' rows, and into each chunk where its logits will be."""
    batch.clear()
    for chunk in chunks:
        is_last = chunk.count == 1 and chunk.has_output
        slot = chunk.slot
        row = batch.add(slot.tokens[slot.length], slot.length, slot.index, is_last)
        chunk.row = row if is_last else -1
    for chunk in chunks:
        if chunk.count > 1:
            start, end = chunk.slot.length + 1, chunk.slot.length + chunk.count
            tokens = view(chunk.slot.tokens)[start:end]
            row = batch.extend(tokens, start, chunk.slot.index, chunk.has_output)
            chunk.row = row if chunk.has_output else -1
