"""Owned tasks, wake-up calls from threads, growing pauses."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from sdk.host.tasks import LONGEST_PAUSE_S, Backoff, TaskSet, Wake


async def test_a_failed_task_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("no good")

    tasks = TaskSet()
    with caplog.at_level(logging.ERROR):
        tasks.spawn(fail())
        assert await tasks.wait(1)
    assert "no good" in caplog.text


async def test_cancel_waits_for_the_end() -> None:
    ended = []

    async def last() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    tasks = TaskSet()
    tasks.spawn(last())
    assert not await tasks.wait(0.01)
    await tasks.cancel()
    assert ended == [1] and await tasks.wait(0)


async def test_wake_from_threads_loses_no_ring() -> None:
    wake = Wake()
    heard, told = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal told
        for _ in range(300):
            with lock:
                told += 1
            wake.ring()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    while heard < 900:
        assert await wake.wait(5), "a ring was lost"
        with lock:
            heard = told
    for thread in threads:
        thread.join()
    while await wake.wait(0.01):
        pass
    assert not await wake.wait(0.01)


def test_a_ring_after_the_loop_is_closed_is_harmless() -> None:
    async def make() -> Wake:
        return Wake()

    asyncio.run(make()).ring()


def test_pauses_grow_to_the_longest_and_start_again() -> None:
    backoff = Backoff()
    pauses_s = [backoff.next_pause_s() for _ in range(10)]
    assert pauses_s[0] <= 0.1 and all(pause_s <= LONGEST_PAUSE_S for pause_s in pauses_s)
    assert pauses_s[-1] >= 0.75 * LONGEST_PAUSE_S
    backoff.reset()
    assert backoff.next_pause_s() <= 0.1


async def test_a_cancel_that_comes_with_a_ring_is_not_lost() -> None:
    wake = Wake()

    async def forever() -> None:
        while True:
            await wake.wait(10)

    task = asyncio.ensure_future(forever())
    await asyncio.sleep(0)
    wake.ring()
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=1)
    assert done
