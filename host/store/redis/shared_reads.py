"""Those on one host who want the same command at the same moment share one read of it.

Invariant: everybody gets an answer to a question that was asked after he came; so whoever was woken
by a change sees that change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class _LeaderLeft(Exception):
    """Whoever read for all was cancelled: another one does."""


class _Round(Generic[_T]):
    """One read: those who come before it is asked take part."""

    def __init__(self) -> None:
        self.is_asked = False
        self.answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()


class SharedReads(Generic[_T]):
    """At most two reads of a key at once: one under way, and one for those who came meanwhile."""

    def __init__(self, ask: Callable[[str], Awaitable[_T]]) -> None:
        self._ask = ask
        self._rounds: dict[str, _Round[_T]] = {}

    async def read(self, key: str) -> _T:
        """Raises what the read raises."""
        while True:
            round_ = self._rounds.get(key)
            if round_ is None:
                return await self._lead(key)
            can_share = not round_.is_asked
            try:
                answer = await asyncio.shield(round_.answer)
                if can_share:
                    return answer
            except _LeaderLeft:
                continue
            except Exception:
                if can_share:
                    raise

    async def _lead(self, key: str) -> _T:
        round_ = self._rounds[key] = _Round()
        error: BaseException = _LeaderLeft()
        try:
            await asyncio.sleep(0)  # whoever was woken by the same change comes now
            round_.is_asked = True
            answer = await self._ask(key)
            round_.answer.set_result(answer)
            return answer
        except Exception as raised:
            error = raised
            raise
        finally:
            del self._rounds[key]
            if not round_.answer.done():
                round_.answer.set_exception(error)
                round_.answer.exception()  # there may be nobody to take it
