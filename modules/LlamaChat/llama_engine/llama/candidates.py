"""Tokens with their logits, as llama.cpp's samplers take them."""

from __future__ import annotations

import ctypes
from typing import Any, cast

import llama_cpp
import numpy as np
from numpy.typing import NDArray

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Candidates:
    """One buffer, filled anew for each use."""

    def __init__(self, count: int) -> None:
        self._ids = np.arange(count, dtype=np.int32)
        self._values = np.zeros(count, _CANDIDATE)
        self._array = llama_cpp.llama_token_data_array()

    def fill(self, logits: NDArray[np.float32]) -> Any:
        """All tokens; returns the pointer to hand to a sampler."""
        self._values["id"] = self._ids
        self._values["logit"] = logits
        self._values["p"] = 0
        return self._point(len(self._values))

    def fill_one(self, token: int) -> Any:
        """A single token."""
        self._values[0] = (token, 1.0, 0.0)
        return self._point(1)

    @property
    def is_refused(self) -> bool:
        """Whether the first one was ruled out."""
        return bool(np.isneginf(self._values["logit"][0]))

    @property
    def logits(self) -> NDArray[np.float32]:
        """The logits as a sampler left them, in the tokens' order if nothing sorted them."""
        return np.asarray(self._values["logit"])

    @property
    def selected(self) -> int:
        """The token that the last sampler of a chain chose; -1 for none."""
        at = int(self._array.selected)
        return int(self._array.data[at].id) if 0 <= at < int(self._array.size) else -1

    def _point(self, count: int) -> Any:
        data = ctypes.cast(self._values.ctypes.data, llama_cpp.llama_token_data_p)
        self._array.data, self._array.size = cast(Any, data), count
        self._array.selected, self._array.sorted = -1, False
        return ctypes.byref(self._array)
