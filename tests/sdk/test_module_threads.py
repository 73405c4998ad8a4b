"""The module author's code runs where it cannot block the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable

import pytest

from sdk.work.module_threads import ModuleThreads


async def test_functions_run_in_threads_and_coroutines_on_the_loop() -> None:
    threads = ModuleThreads()
    main = threading.get_ident()

    async def on_loop(offset: int) -> int:
        await asyncio.sleep(0)
        return threading.get_ident() + offset

    def returns_awaitable() -> Awaitable[int]:
        assert threading.get_ident() != main
        return on_loop(1)

    assert await threads.call(threading.get_ident) != main
    assert await threads.call(on_loop, 0) == main
    assert await threads.call(returns_awaitable) == main + 1
    assert threads.alive_count() == 0


@pytest.mark.parametrize(
    ("raised", "seen"),
    [(KeyError("k"), KeyError), (StopIteration(1), RuntimeError), (SystemExit(3), RuntimeError)],
)
async def test_errors_come_back(raised: BaseException, seen: type[Exception]) -> None:
    def fail() -> None:
        raise raised

    with pytest.raises(seen):
        await ModuleThreads().call(fail)


async def test_a_stuck_thread_is_counted_and_forgotten_when_it_ends() -> None:
    threads = ModuleThreads()
    go = threading.Event()
    call = asyncio.ensure_future(threads.call(go.wait))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert threads.alive_count() == 1
    go.set()
    while threads.alive_count():  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.001)
