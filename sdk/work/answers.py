"""From whatever a module returned or raised to an answer that can be sent.

Invariant: every answer is a dict that JSON can hold, with a boolean `success`, and an `error` when
it is false; a module cannot make the SDK leave a command unanswered.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from sdk.host.errors import RequestError, describe
from sdk.host.wire import encode_json
from sdk.work.long_process import RunningCommand

logger = logging.getLogger(__name__)


def failure(error: str, code: int = 500) -> dict[str, Any]:
    return {"success": False, "error": error, "code": code}


def failure_of(error: BaseException) -> dict[str, Any]:
    """What the client is told. A bad request is the client's fault, the rest is the module's."""
    if isinstance(error, RequestError):
        return failure(str(error), 400)
    logger.error("the module failed: %s", describe(error), exc_info=error)
    return failure(describe(error))


def complete(value: object, source: str) -> dict[str, Any]:
    """`value` as an answer; `source` (such as "process()") names who returned it.

    A dict without `success` is a success unless it has an `error`.
    """
    if not isinstance(value, dict):
        got = "None" if value is None else type(value).__name__
        return failure(f"{source} returned {got}, expected a dict; this is a fault of the module")
    try:
        encode_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        return failure(f"{source} returned what JSON cannot hold: {describe(error)}")
    answer = {str(key): item for key, item in value.items()}
    answer["success"] = bool(answer["success"]) if "success" in answer else not answer.get("error")
    if not answer["success"] and not answer.get("error"):
        answer["error"] = f"{source} failed without giving a reason"
    return answer


def cancelled(message: str = "") -> dict[str, Any]:
    """A long command's result when it was cancelled."""
    result: dict[str, Any] = {"success": True, "stop_reason": "cancelled"}
    return result | {"message": message} if message else result


def long_result(call: asyncio.Future[Any], running: RunningCommand) -> dict[str, Any]:
    """The result of a long function that has ended; raising after its cancel is no failure."""
    if call.cancelled():
        return cancelled()
    error = call.exception()
    if error is None:
        value = call.result()
        return complete({} if value is None else value, "the long process")
    if running.is_cancelled:
        logger.info("a cancelled command ended with: %s", describe(error))
        return cancelled()
    return failure_of(error)
