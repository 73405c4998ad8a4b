"""The seam to llama.cpp's context: decoding, KV memory, states, logits.

Invariant: only the thread that owns the engine calls this; arguments that would end the process
(a batch too long, a sequence id out of range, a partial copy between streams) never get through.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from llama_engine.llama.batch import Batch
from llama_engine.llama.model import Model

_BYTES = ctypes.POINTER(ctypes.c_uint8)


class Context:
    """A `llama_context *`, which it owns, of `sequences` sequences."""

    def __init__(self, handle: Any, model: Model, sequences: int, is_shared: bool) -> None:
        self.handle = handle
        self.model = model
        self.sequences = sequences
        self.is_shared = is_shared
        """Whether all sequences share one pool of cells; otherwise each has a stream of its own."""
        self.batch_tokens = int(llama_cpp.llama_n_batch(handle))
        self.sequence_tokens = int(llama_cpp.llama_n_ctx_seq(handle))
        """Positions that one sequence can have."""
        self.total_tokens = int(llama_cpp.llama_n_ctx(handle))
        self._memory: Any = llama_cpp.llama_get_memory(handle)

    def close(self) -> None:
        handle, self.handle = self.handle, None
        if handle is not None:
            llama_cpp.llama_free(handle)

    def set_threads(self, threads: int, batch_threads: int) -> None:
        """For the next decodes: of one row, and of more."""
        llama_cpp.llama_set_n_threads(self.handle, threads, batch_threads)

    def decode(self, batch: Batch) -> int:
        """Evaluate a batch. 0: done; 1: no room in the KV cache, nothing changed; else: failed."""
        if not 0 < batch.size <= self.batch_tokens:
            raise ValueError(f"expected 1 to {self.batch_tokens} rows, got {batch.size}")
        batch.struct.n_tokens = batch.size
        return int(llama_cpp.llama_decode(self.handle, batch.struct))

    def logits(self, row: int) -> NDArray[np.float32]:
        """The logits of a row that has an output; valid until the next decode."""
        pointer = llama_cpp.llama_get_logits_ith(self.handle, row)
        if not pointer:
            raise ValueError(f"row {row} has no logits")
        return np.ctypeslib.as_array(pointer, shape=(self.model.vocab_tokens,))

    def remove(self, sequence: int, start: int) -> bool:
        """Drop a sequence's cells from position `start` on; False where that cannot be cut."""
        return bool(llama_cpp.llama_memory_seq_rm(self._memory, self._id(sequence), start, -1))

    def share(self, source: int, target: int, length: int) -> None:
        """Let `target` have the first `length` cells of `source` too."""
        if not self.is_shared:
            raise ValueError("cells can be shared within one pool only")
        llama_cpp.llama_memory_seq_cp(self._memory, self._id(source), self._id(target), 0, length)

    def first_position(self, sequence: int) -> int:
        """The first position still held; -1 for an empty sequence."""
        return int(llama_cpp.llama_memory_seq_pos_min(self._memory, self._id(sequence)))

    def last_position(self, sequence: int) -> int:
        """The last position held; -1 for an empty sequence."""
        return int(llama_cpp.llama_memory_seq_pos_max(self._memory, self._id(sequence)))

    def state_bytes(self, sequence: int) -> int:
        """Size of a copy of a sequence's cells."""
        return int(llama_cpp.llama_state_seq_get_size(self.handle, self._id(sequence)))

    def state(self, sequence: int) -> NDArray[np.uint8]:
        """A copy of a sequence's cells; empty where llama.cpp cannot give one."""
        size = self.state_bytes(sequence)
        data = np.empty(size, np.uint8)
        pointer = data.ctypes.data_as(_BYTES)
        written = llama_cpp.llama_state_seq_get_data(self.handle, pointer, size, sequence)
        return data[: int(written)]

    def set_state(self, sequence: int, data: NDArray[np.uint8]) -> bool:
        """Put a copy back, replacing what the sequence holds. False: it is empty now."""
        pointer = data.ctypes.data_as(_BYTES)
        read = llama_cpp.llama_state_seq_set_data(
            self.handle,
            pointer,
            len(data),
            self._id(sequence),
        )
        return int(read) > 0

    def _id(self, sequence: int) -> int:
        if not 0 <= sequence < self.sequences:
            raise ValueError(f"expected a sequence from 0 to {self.sequences - 1}, got {sequence}")
        return sequence
