"""The rows of a step, as llama.cpp takes them.

Invariant: its arrays stay where they are for as long as it lives: llama.cpp has their addresses.
"""

from __future__ import annotations

import ctypes
from typing import Any, cast

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from llama_engine.text.tokens import Tokens


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
