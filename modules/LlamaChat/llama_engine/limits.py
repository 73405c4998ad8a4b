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

from dataclasses import dataclass

from load_errors import LoadReason, ModelLoadError

from llama_engine.options import CACHE_TYPES, EngineOptions

COMPUTE_BYTES = 192 * 1024**2
"""Room for compute buffers, logits and the process itself."""
FREE_SHARE = 0.5
"""Of the memory that is free beside the weights, how much the cache may take unasked."""
LEAST_CONTEXT = 512
ENOUGH_TOKENS = 16_384
"""A sequence with so many cells of its own needs no others', if nobody asked for more."""
_STEP = 256
_GIB = 1024**3


@dataclass(frozen=True)
class CacheShape:
    """What a model's KV cells are made of: values of a cell over all layers, upper bounds."""

    key_values: int
    value_values: int

    def cell_bytes(self, options: EngineOptions) -> float:
        """Size of one cell with the cache types of the options."""
        key_bytes = self.key_values * CACHE_TYPES[options.key_cache_type][1]
        return key_bytes + self.value_values * CACHE_TYPES[options.value_cache_type][1]


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
    cell_bytes: float,
    free_bytes: float | None,
) -> ContextPlan:
    """Choose. `free_bytes` is what is free beside the weights; None where nobody can tell.

    Raises ModelLoadError (OUT_OF_MEMORY) where what was asked for does not fit.
    """
    wanted = options.context_tokens or train_tokens or LEAST_CONTEXT
    least = options.context_tokens or min(wanted, LEAST_CONTEXT)
    affordable = _affordable_tokens(options, cell_bytes, free_bytes)
    if affordable is not None and affordable < max(least, options.total_tokens):
        raise _too_large(max(least, options.total_tokens), cell_bytes, free_bytes or 0)
    total = options.total_tokens or wanted * sequences
    limit = "as asked for" if options.total_tokens else "the whole length for each"
    if affordable is not None and total > affordable:
        total, limit = affordable, f"what fits in {(free_bytes or 0) / _GIB:.1f} GiB of free memory"
    is_shared = _is_shared(options, wanted, sequences, total)
    each = min(wanted, total if is_shared else total // sequences)
    if not is_shared:
        each = each if each == wanted else max(_STEP, each // _STEP * _STEP)
        total = -(-each // _STEP) * _STEP * sequences
    if affordable is not None and total > affordable:
        raise _too_large(wanted * sequences, cell_bytes, free_bytes or 0)
    layout = "shared by" if is_shared else "in equal parts for"
    reason = f"{total} tokens ({limit}), {layout} {sequences} sequences of at most {each} tokens"
    return ContextPlan(sequences, each, total, is_shared, reason)


def _is_shared(options: EngineOptions, wanted: int, sequences: int, total: int) -> bool:
    if options.layout != "auto":
        return options.layout == "shared"
    enough = wanted if options.context_tokens else min(wanted, ENOUGH_TOKENS)
    return total < enough * sequences


def _affordable_tokens(
    options: EngineOptions, cell_bytes: float, free_bytes: float | None
) -> int | None:
    """Cells that fit: in all that is free where a length was asked for, else in a share of it."""
    if free_bytes is None or not cell_bytes:
        return None
    is_asked = bool(options.context_tokens or options.total_tokens)
    usable = (free_bytes - COMPUTE_BYTES) * (1.0 if is_asked else FREE_SHARE)
    return max(0, int(usable / cell_bytes)) // _STEP * _STEP


def _too_large(tokens: int, cell_bytes: float, free_bytes: float) -> ModelLoadError:
    return ModelLoadError(
        LoadReason.OUT_OF_MEMORY,
        f"A context of {tokens} tokens takes {tokens * cell_bytes / _GIB:.2f} GiB and "
        f"{COMPUTE_BYTES / _GIB:.2f} GiB to compute with, and {free_bytes / _GIB:.2f} GiB are free "
        "beside the model. Choose a shorter context, fewer sequences, a smaller KV cache type or a "
        "smaller model",
    )
