"""Token ids in arrays.

Invariant: what is compared or copied here is never changed here.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]


def view(tokens: array[int]) -> Tokens:
    """The same tokens for numpy. Let go of it before the array grows."""
    return np.frombuffer(tokens, dtype=np.int32)


def common_length(one: Tokens, other: Tokens) -> int:
    """How many tokens two sequences have in common at their beginning."""
    length = min(len(one), len(other))
    if not length:
        return 0
    differs = one[:length] != other[:length]
    at = int(differs.argmax())
    return at if differs[at] else length
