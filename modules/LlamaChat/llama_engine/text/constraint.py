"""What a reply is held to, token by token.

Invariant: whatever is given to `accept` was allowed.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]


class Constraint(Protocol):
    """One reply's rule and how far it is. Used by one thread at a time."""

    def allows(self, token: int) -> bool:
        """Whether the token may come next. Cheap: asked for every token."""

    def restrict(self, logits: Logits) -> Logits:
        """A copy with minus infinity for what may not come next. Asked where a token is refused.

        Raises GenerationError where that cannot be told.
        """

    def accept(self, token: int) -> None:
        """Go on by a token, which is not one that ends the reply."""

    def free(self) -> None:
        """Called once, after everything else."""
