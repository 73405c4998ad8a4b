"""One step: evaluate a batch, and when that fails find out whose fault it was.

Invariant: after `evaluate` each sequence's slot says truly what is in memory, and a sequence that
cannot be evaluated was reported to `fail`, alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np

from llama_engine.llama.batch import Batch
from llama_engine.llama.context import Context
from llama_engine.memory.kv_cache import KvCache
from llama_engine.schedule.counts import EngineCounts
from llama_engine.schedule.sequence import Sequence
from llama_engine.schedule.step_plan import Chunk, fill_batch

logger = logging.getLogger(__name__)

_DONE, _FULL = 0, 1


class Stepper:
    """Evaluates chunks. `sample` is called for chunks whose logits are there, `fail` for
    sequences that cannot go on, with the reason."""

    def __init__(
        self,
        context: Context,
        cache: KvCache,
        counts: EngineCounts,
        sample: Callable[[list[Chunk]], None],
        fail: Callable[[Sequence, str], None],
    ) -> None:
        self._context = context
        self._cache = cache
        self._counts = counts
        self._batch = Batch(context.batch_tokens)
        self._sample = sample
        self._fail = fail

    def evaluate(self, chunks: list[Chunk]) -> bool:
        """Evaluate and sample; False where there is no room in the KV cache (nothing changed)."""
        code, reason = self._decode(chunks)
        if code == _FULL:
            return False
        if code == _DONE:
            self._advance(chunks)
            self._sample(chunks)
        elif len(chunks) == 1:
            self._fail(chunks[0].sequence, reason)
        else:
            self._evaluate_each(chunks, reason)
        return True

    def warm_up(self, tokens: int) -> float:
        """Evaluate so many tokens of no meaning; returns milliseconds, 0 where it failed."""
        self._batch.clear()
        self._batch.extend(np.zeros(tokens, np.int32), 0, 0, True)
        started = time.perf_counter()
        code, _ = self._decode_batch()
        took_ms = (time.perf_counter() - started) * 1e3
        self._context.remove(0, 0)
        return took_ms if code == _DONE else 0.0

    def _evaluate_each(self, chunks: list[Chunk], reason: str) -> None:
        """Evaluate one by one, so that only those who cannot be evaluated fail."""
        logger.warning("A batch of %d sequences failed (%s): one by one", len(chunks), reason)
        for chunk in chunks:
            if not self.evaluate([chunk]):
                self._fail(chunk.sequence, "No room in the KV cache after a failed decode")

    def _decode(self, chunks: list[Chunk]) -> tuple[int, str]:
        fill_batch(self._batch, chunks)
        code, reason = self._decode_batch()
        if code not in (_DONE, _FULL):
            self._counts.failed_decodes += 1
            for chunk in chunks:
                self._restore(chunk)
        return code, reason

    def _decode_batch(self) -> tuple[int, str]:
        try:
            code = self._context.decode(self._batch)
        except (OSError, RuntimeError, ValueError, MemoryError) as ex:
            return -1, f"llama.cpp failed to decode: {ex}"
        return code, f"llama.cpp failed to decode (code {code})"

    def _restore(self, chunk: Chunk) -> None:
        """Take back what a failed decode may have left in memory."""
        slot = chunk.slot
        if slot.length:
            self._cache.cut(slot, slot.length)
        else:
            self._cache.clear(slot)

    def _advance(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            chunk.slot.length += chunk.count
            self._counts.evaluated_tokens += chunk.count
