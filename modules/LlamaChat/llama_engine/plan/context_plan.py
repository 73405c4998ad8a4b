"""How much context to open, and where its cells lie.

Invariant: decided before anything is allocated, from the model's metadata and what is free; what
does not fit is refused with both numbers, and what was chosen says why.

Two layouts: *streams* gives each sequence cells of its own. Steps are fastest then (nobody looks at
the cells of others), and kept prefixes cost nothing, but what one sequence leaves unused is of no
use to another. *Shared* is one pool for all: slower the more it holds, but a long conversation can
have what others leave free. So: streams where each sequence can have the whole length wanted, or at
least `ENOUGH_TOKENS`; the shared pool where memory is too small for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llama_engine.load_errors import LoadReason, ModelLoadError
from llama_engine.options import EngineOptions

COMPUTE_BYTES = 192 * 1024**2
"""Room for compute buffers, logits and the process itself."""
FREE_SHARE = 0.5
"""Of the memory that is free beside the weights, how much the cache may take unasked."""
LEAST_CONTEXT = 512
ENOUGH_TOKENS = 16_384
"""A sequence with so many cells of its own needs no others', if nobody asked for more."""
_STEP = 256
_MOST_CELLS = 2**40
_GIB = 1024**3


@dataclass(frozen=True)
class Room:
    """Memory for KV cells in one place."""

    name: str
    free_bytes: float
    """What is left there beside the weights."""
    cell_bytes: float
    """The part of one cell that lies there."""
    share: float = FREE_SHARE
    """How much of it the cache may take unasked."""

    def cells(self, is_asked: bool) -> int:
        """How many fit beside what is needed to compute."""
        usable = (self.free_bytes - COMPUTE_BYTES) * (1.0 if is_asked else self.share)
        return max(0, int(min(usable / self.cell_bytes, _MOST_CELLS))) // _STEP * _STEP


@dataclass(frozen=True)
class ContextPlan:
    """The context to open."""

    sequences: int
    sequence_tokens: int
    """The most that one sequence may hold."""
    total_tokens: int
    is_shared: bool
    reason: str
    """Why, for the log and the status."""


def plan_context(
    options: EngineOptions,
    sequences: int,
    train_tokens: int,
    rooms: Sequence[Room],
    *,
    can_share: bool = True,
    most_tokens: int | None = None,
) -> ContextPlan:
    """Choose. `rooms` are the places where cells lie, none where nobody can tell; `can_share` is
    whether the model's memory can be one pool; `most_tokens` what is known to be possible at most.

    Raises ModelLoadError (OUT_OF_MEMORY) where what was asked for does not fit.
    """
    wanted = options.context_tokens or train_tokens or LEAST_CONTEXT
    least = max(options.context_tokens or min(wanted, LEAST_CONTEXT), options.total_tokens)
    if not can_share:
        least = max(least, _STEP * sequences)
    is_asked = bool(options.context_tokens or options.total_tokens)
    tightest = min(rooms, key=lambda room: room.cells(is_asked), default=None)
    if tightest is not None and tightest.cells(is_asked) < least:
        raise _too_large(least, tightest)
    total, limit = _total(options, wanted * sequences, tightest, most_tokens)
    is_shared = can_share and _is_shared(options, wanted, sequences, total)
    each = min(wanted, total if is_shared else total // sequences)
    if not is_shared:
        each = each if each == wanted else max(_STEP, each // _STEP * _STEP)
        total = each * sequences
    layout = "shared by" if is_shared else "in equal parts for"
    reason = f"{total} tokens ({limit}), {layout} {sequences} sequences of at most {each} tokens"
    return ContextPlan(sequences, each, total, is_shared, reason)


def _total(
    options: EngineOptions, wanted: int, tightest: Room | None, most_tokens: int | None
) -> tuple[int, str]:
    """Cells for all sequences, and why so many."""
    total = options.total_tokens or wanted
    limit = "as asked for" if options.total_tokens else "the whole length for each"
    if tightest is not None:
        is_asked = bool(options.context_tokens or options.total_tokens)
        affordable = tightest.cells(is_asked)
        if total > affordable:
            total = affordable
            limit = f"what fits in {tightest.free_bytes / _GIB:.1f} GiB of free {tightest.name}"
    if most_tokens is not None and total > most_tokens:
        total, limit = most_tokens, "what could be allocated"
    return total, limit


def _is_shared(options: EngineOptions, wanted: int, sequences: int, total: int) -> bool:
    if options.layout != "auto":
        return options.layout == "shared"
    enough = wanted if options.context_tokens else min(wanted, ENOUGH_TOKENS)
    return total < enough * sequences


def _too_large(tokens: int, room: Room) -> ModelLoadError:
    return ModelLoadError(
        LoadReason.OUT_OF_MEMORY,
        f"A context of {tokens} tokens takes {tokens * room.cell_bytes / _GIB:.2f} GiB and "
        f"{COMPUTE_BYTES / _GIB:.2f} GiB to compute with, and {room.free_bytes / _GIB:.2f} GiB of "
        f"{room.name} are free beside the model. Choose a shorter context, fewer sequences, a "
        "smaller KV cache type or a smaller model",
    )
