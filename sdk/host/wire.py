"""The wire between a module and its host, as a module sees it: paths, query parameters, bodies.

Invariant: no other file of the SDK spells a path, a query parameter or a key of a host's answer,
and whatever leaves through `encode_json` is valid UTF-8 and JSON (no NaN, no lone surrogates).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict
from urllib.parse import quote

JSON: TypeAlias = dict[str, Any] | list[Any] | str | int | float | bool | None

PROTOCOL = 2
PING_PATH = "/v1/status/ping"
LOG_PATH = "/v1/log"


class ReplyPiece(TypedDict):
    """Text of one channel; `offset` counts code points of that channel before it."""

    channel: str
    offset: int
    text: str


class PieceProgress(ReplyPiece, total=False):
    """`index` and `name` where several channels share theirs."""

    index: int
    name: str


class CommandProgress(TypedDict, total=False):
    """What one running command has to report. `offset` counts code points before `text`."""

    commandId: str
    attempt: str
    offset: int
    text: str
    pieces: list[PieceProgress]
    fields: dict[str, Any]
    result: dict[str, Any]


class ProgressReport(TypedDict):
    commands: list[CommandProgress]


@dataclass(frozen=True)
class LogEntry:
    """One line of the log, in the words of the wire."""

    entry: str
    category: str
    label: str
    log_level: str


@dataclass(frozen=True)
class Work:
    """One command fetched from a queue; `attempt` is the claim's token, empty on a part-1 host."""

    request_id: str
    payload: dict[str, Any]
    attempt: str = ""
    is_long_process: bool = False

    @property
    def command(self) -> str:
        return str(self.payload.get("command") or "")


@dataclass(frozen=True)
class CommandReceipt:
    """A host's answer for one command: does it still want it, and how much text does it hold."""

    command_id: str
    accepted: bool
    offset: int
    error: str = ""
    channels: tuple[PieceProgress, ...] = ()
    """How much it holds of those that were named to it; without text."""


@dataclass(frozen=True)
class ProgressReply:
    cancel: tuple[str, ...]
    receipts: tuple[CommandReceipt, ...]


@dataclass(frozen=True)
class Control:
    """One control message. `kind`: cancel, quit, drain, or request, which has `work`."""

    kind: str
    command_id: str = ""
    work: Work | None = None


def queue_path(queue_name: str) -> str:
    return f"/v1/queue/{quote(queue_name, safe='')}"


def answer_path(request_id: str) -> str:
    return f"/v1/queue/{quote(request_id, safe='')}"


def module_status_path(module_id: str) -> str:
    return f"/v1/queue/updatemodulestatus/{quote(module_id, safe='')}"


def progress_path(module_id: str) -> str:
    return f"/v1/modules/{quote(module_id, safe='')}/progress"


def control_path(module_id: str) -> str:
    return f"/v1/modules/{quote(module_id, safe='')}/control"


def module_query(module_id: str, instance_id: str = "") -> dict[str, str]:
    """Who is speaking. Part 1 knows no instances: leave `instance_id` empty there."""
    query = {"moduleId": module_id}
    return query | {"instanceId": instance_id} if instance_id else query


def claim_query(wait_s: int) -> dict[str, str]:
    return {"protocol": str(PROTOCOL), "wait": str(wait_s)}


def clean_text(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates replaced: UTF-8 can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def encode_json(value: JSON | Mapping[str, Any]) -> bytes:
    """JSON as UTF-8. Raises TypeError or ValueError for what JSON cannot hold (NaN included)."""
    return clean_text(json.dumps(value, ensure_ascii=False, allow_nan=False)).encode()


def decode_object(body: bytes | str) -> dict[str, Any]:
    """The JSON object in `body`. Raises ValueError for anything else."""
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value


def read_protocol(body: bytes) -> int:
    """From a ping's answer; whatever does not name a protocol of ours is a part-1 host."""
    try:
        protocol = decode_object(body).get("protocol")
    except ValueError:
        return 1
    return protocol if isinstance(protocol, int) and not isinstance(protocol, bool) else 1


def read_work(item: Mapping[str, Any]) -> Work:
    """A claimed command. Raises ValueError when it names no request id to answer to."""
    request_id = item.get("reqid")
    if not isinstance(request_id, str) or not request_id:
        raise ValueError(f"expected a command with a 'reqid', got {str(item)[:200]}")
    payload = item.get("payload")
    return Work(
        request_id,
        payload if isinstance(payload, dict) else {},
        str(item.get("attempt") or ""),
        item.get("longProcess") is True,
    )


def read_progress_reply(answer: Mapping[str, Any]) -> ProgressReply:
    receipts = [_receipt(item) for item in _dicts(answer.get("commands"))]
    cancel = answer.get("cancel")
    ids = tuple(str(item) for item in cancel) if isinstance(cancel, list) else ()
    return ProgressReply(ids, tuple(receipts))


def read_controls(answer: Mapping[str, Any]) -> list[Control]:
    return [_control(item) for item in _dicts(answer.get("controls"))]


def _receipt(item: Mapping[str, Any]) -> CommandReceipt:
    offset = item.get("offset")
    return CommandReceipt(
        str(item.get("commandId", "")),
        item.get("accepted") is True,
        offset if isinstance(offset, int) else 0,
        str(item.get("error") or ""),
        tuple(_held(one) for one in _dicts(item.get("channels"))),
    )


def _held(item: Mapping[str, Any]) -> PieceProgress:
    offset, index = item.get("offset"), item.get("index")
    held: PieceProgress = {
        "channel": str(item.get("channel", "")),
        "offset": offset if isinstance(offset, int) else 0,
        "text": "",
    }
    if isinstance(index, int):
        held["index"], held["name"] = index, str(item.get("name") or "")
    return held


def _control(item: Mapping[str, Any]) -> Control:
    kind = str(item.get("type", ""))
    if kind == "request":
        return Control(kind, work=read_work(item))
    return Control(kind, command_id=str(item.get("commandId", "")))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
