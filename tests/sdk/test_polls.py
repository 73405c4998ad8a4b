"""A poll waits out a host that is away."""

from __future__ import annotations

from sdk.host.errors import HostRefused, HostUnavailable
from sdk.host.polls import Poll


async def test_a_host_in_trouble_is_no_more_than_nothing() -> None:
    outcomes: list[object] = [HostUnavailable("away"), HostRefused(404, "no queue"), None, "work"]

    async def ask() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    poll = Poll(ask)
    assert [await poll.once() for _ in range(4)] == [None, None, None, "work"]
