"""The host's one spelling of the wire: what modules send, and what the host hands to them.

Part 1 is what modules in the field already speak; part 2 is this project's own (docs/api.md).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from typing_extensions import NotRequired, TypedDict

from host.asked import StoredPayload

PROTOCOL = 2
LONG_POLL_LIMIT_S = 14.0  # modules in the field give up after 15 s: answer before that
STATUS_WAIT_LIMIT_S = 30.0

COMMAND_STATUS = "get_command_status"
CANCEL_COMMAND = "cancel_command"
QUIT = "Quit"
RUNNING_ANSWER = "running"  # `commandStatus` of an answer that says: it goes on in the background


class Value(TypedDict):
    """One form field: the key and all values that came under it."""

    key: str
    value: list[str]


class File(TypedDict):
    """One uploaded file; `data` is base64."""

    name: str
    filename: str
    contentType: str
    data: str


class Payload(TypedDict):
    """What a module gets to see of a request."""

    queue: str
    command: str
    urlSegments: list[str]
    values: list[Value]
    files: list[File]


class Work(TypedDict):
    """The answer to a poll for work; the last two only where protocol 2 is spoken."""

    reqid: str
    reqtype: str
    payload: Payload | StoredPayload
    attempt: NotRequired[str]
    longProcess: NotRequired[bool]


class Control(TypedDict):
    """One thing a module instance is told outside its work queue."""

    type: Literal["cancel", "quit", "request"]
    commandId: NotRequired[str]
    reqid: NotRequired[str]
    payload: NotRequired[Payload]


_Id = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]


class PieceProgress(BaseModel):
    """Text of a channel, from a code point of that channel on."""

    model_config = ConfigDict(extra="ignore")

    channel: str
    index: int | None = Field(default=None, ge=0, le=9999)
    name: str = ""
    offset: int = Field(ge=0)
    text: str = ""


class CommandProgress(BaseModel):
    """Progress of one running command: `text` begins at code point `offset` of the reply.

    Who puts out more than a reply sends `pieces`, in their order, and no `text`.
    """

    model_config = ConfigDict(extra="ignore")

    commandId: _Id
    attempt: _Id
    offset: int = Field(ge=0)
    text: str = ""
    pieces: list[PieceProgress] = Field(default_factory=list)
    fields: dict[str, Any] = Field(default_factory=dict)
    result: dict[str, Any] | None = None


class Progress(BaseModel):
    """One request carries the progress of all running commands of an instance."""

    model_config = ConfigDict(extra="ignore")

    commands: list[CommandProgress]


def first_value(payload: Payload, key: str, default: str | None = None) -> str | None:
    """The first value under `key`, as modules read it; `default` where there is none."""
    for item in payload["values"]:
        if item["key"] == key and item["value"]:
            return item["value"][0]
    return default


def system_payload(queue: str, command: str, **values: str) -> Payload:
    """The payload of a system command, such as `Quit` with its `moduleId`."""
    return {
        "queue": queue,
        "command": command,
        "urlSegments": [],
        "values": [{"key": key, "value": [value]} for key, value in values.items()],
        "files": [],
    }
