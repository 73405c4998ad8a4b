"""The seam to llama.cpp's context: batches, decoding, KV memory, states, logits.

Invariant: only the thread that owns the engine calls this; arguments that would end the process
(a batch too long, a sequence id out of range, a partial copy between streams) never get through.
"""

from __future__ import annotations

import ctypes
from array import array
from typing import Any, cast

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from llama_engine.llama.model import Model

Tokens = NDArray[np.int32]
_BYTES = ctypes.POINTER(ctypes.c_uint8)


def view(tokens: array[int]) -> Tokens:
    """The same tokens for numpy. Let go of it before the array grows."""
    return np.frombuffer(tokens, dtype=np.int32)


class Batch:
    """The rows of one step. Allocated once; filled by slices."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._sequences = np.zeros(capacity, np.int32)
        self._outputs = np.zeros(capacity, np.int8)
        self._counts = np.ones(capacity, np.int32)
        step = self._sequences.itemsize
        first = self._sequences.ctypes.data
        self._lists = np.arange(first, first + step * capacity, step, dtype=np.uintp)
        self.struct = self._point()

    def _point(self) -> Any:
        """A `llama_batch` over the arrays; each row belongs to one sequence."""
        batch = llama_cpp.llama_batch()
        fields: dict[str, NDArray[Any]] = {
            "token": self._tokens,
            "pos": self._positions,
            "n_seq_id": self._counts,
            "seq_id": self._lists,
            "logits": self._outputs,
        }
        kinds: dict[str, Any] = dict(cast(Any, llama_cpp.llama_batch._fields_))
        for name, values in fields.items():
            setattr(batch, name, ctypes.cast(values.ctypes.data, kinds[name]))
        return batch

    def clear(self) -> None:
        self.size = 0

    def add(self, token: int, position: int, sequence: int, has_output: bool) -> int:
        """Add one row; returns its index."""
        row = self.size
        self._tokens[row] = token
        self._positions[row] = position
        self._sequences[row] = sequence
        self._outputs[row] = has_output
        self.size = row + 1
        return row

    def extend(self, tokens: Tokens, position: int, sequence: int, has_output: bool) -> int:
        """Add a run of one sequence's tokens; returns the index of the last row, which alone may
        have an output."""
        start, end = self.size, self.size + len(tokens)
        self._tokens[start:end] = tokens
        self._positions[start:end] = np.arange(position, position + len(tokens))
        self._sequences[start:end] = sequence
        self._outputs[start:end] = 0
        self._outputs[end - 1] = has_output
        self.size = end
        return end - 1


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
