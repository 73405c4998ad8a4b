"""Letting the models compute: the host does not interrupt whoever has a core.

A model's threads wait for each other hundreds of times in a step, so a host that takes a core for
a moment, a hundred times a second, costs far more than the moments. Under Linux's batch policy a
process that wakes up lets the running one end its slice of a few milliseconds, and then does all
that has come in. With thirty clients polling four times a second on two cores, a chat kept 73 % of
its speed without this, and all of it with. Source: sched(7), SCHED_BATCH.
"""

from __future__ import annotations

import logging
import os
import sys

_logger = logging.getLogger(__name__)


def let_models_compute() -> None:
    """Give way: for this process, and for what it launches until that is put right."""
    if sys.platform == "linux":
        _set_policy(0, os.SCHED_BATCH)


def compute_as_usual(pid: int) -> None:
    """A process just launched does not give way as its host does."""
    if sys.platform == "linux":
        _set_policy(pid, os.SCHED_OTHER)


def _set_policy(pid: int, policy: int) -> None:
    try:
        os.sched_setscheduler(pid, policy, os.sched_param(0))
    except OSError as error:  # forbidden by a sandbox, or the process has ended already
        _logger.debug("the scheduling policy of process %d stays as it is: %s", pid, error)
