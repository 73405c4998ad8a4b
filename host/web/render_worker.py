"""Renders Markdown for a host that must not wait for it: a program of its own (rendering.py).

It reads frames (four bytes of length, then JSON) from its standard input and answers each with one:
`{"text", "isGrowing"}` gives the body of the host's answer. It ends when its input does, so that it
never outlives its host.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from typing import Any, BinaryIO

from host.web.markdown import Growing, render_growing

LENGTH = struct.Struct(">I")
_NICENESS = 5  # whoever waits for a reply, or computes one, goes first


def frame(body: bytes) -> bytes:
    """A message as it goes through the pipe."""
    return LENGTH.pack(len(body)) + body


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """What the page gets. Lengths count UTF-16, as its language does."""
    rendered = render_growing(question["text"])
    body: dict[str, Any] = {"success": True, "html": rendered.settled + rendered.rest}
    if question["isGrowing"]:
        body["settled"] = _settled(question["text"], rendered)
    return body


def _settled(text: str, rendered: Growing) -> dict[str, int]:
    return {
        "textLength": _utf16_length(text[: rendered.settled_chars]),
        "htmlLength": _utf16_length(rendered.settled),
    }


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more questions. The first frame says that it is ready."""
    said = b"{}"
    while True:
        answers.write(frame(said))
        answers.flush()
        head = questions.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return
        question = json.loads(questions.read(*LENGTH.unpack(head)))
        said = json.dumps(answer(question)).encode()


if __name__ == "__main__":
    if os.name == "posix":
        os.nice(_NICENESS)
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        os._exit(0)  # the host has gone while this one worked
