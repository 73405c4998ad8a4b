"""Runs the module author's code so that it can neither block the event loop nor hold up the end.

Invariant: a coroutine function runs on the loop, anything else in a daemon thread of its own; the
threads still alive are known, so that whoever ends the process can tell.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any


class ModuleThreads:
    """Threads instead of an executor: Python waits for an executor's threads when it exits."""

    def __init__(self) -> None:
        self._threads: set[threading.Thread] = set()

    def alive_count(self) -> int:
        return len(self._threads)

    async def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """What `fn(*args)` returns, awaited if it is awaitable. Cancelling leaves its thread be."""
        result = fn(*args) if inspect.iscoroutinefunction(fn) else await self._in_thread(fn, args)
        return await result if inspect.isawaitable(result) else result

    async def _in_thread(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            self._threads.discard(thread)
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def work() -> None:
            result, error = _outcome(fn, args)
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:
                pass  # the loop is closed: the process is ending and nobody waits for this any more

        thread = threading.Thread(target=work, daemon=True, name=_name_of(fn))
        self._threads.add(thread)
        thread.start()
        return await future


def _outcome(fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    try:
        return fn(*args), None
    except StopIteration as error:  # a future cannot carry this one
        return None, RuntimeError(f"StopIteration raised: {error}")
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return None, error if isinstance(error, Exception) else RuntimeError(repr(error))


def _name_of(fn: Callable[..., Any]) -> str:
    return str(getattr(fn, "__qualname__", type(fn).__name__))
