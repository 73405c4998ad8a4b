"""How much of what is scarce one client may have: no more than is left free for all others.

One alone may have half, two a third each, and so on: there is always something left for the next.
Nobody's share has to be known beforehand, and none is kept empty for clients that do not come.
Source: Choudhury, Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.
"""

from __future__ import annotations

PLACES_FOR_ANYBODY = 16  # of a queue: a share is not asked for before
RETRY_SHARE_S = 1.0  # when to come again who has more than a share


def is_within_share(own: float, total: float, most: float, least: float) -> bool:
    """Whether a client may have `own` of the `total` that is taken, both with what it asks for.

    There are `most`; up to `least` of them are anybody's.
    """
    return total <= most and own <= max(least, most - total)
