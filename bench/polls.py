"""What polling costs the model: the same chats, each polled four times a second, or left alone.

    python bench/polls.py --url http://127.0.0.1:32168 --clients 30

The speed is what the statuses say afterwards: all reply tokens between the first command's start
and the last one's end, so that it does not depend on when a client looks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from chat import PAUSE_S, TIMEOUT, Question, questions_of

POLL_S = 0.25
SELDOM_S = 3.0  # how often those who leave the chats alone look for the end


class Poller:
    """One client's keep-alive connection. It parses the answer that ends the chat, and no other,
    so that it is not the poller who takes the model's time."""

    def __init__(self, url: str, command_id: str) -> None:
        self._address = urlsplit(url)
        body = f"commandId={command_id}"
        self._request = (
            f"POST /v1/LlamaChat/get_command_status HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    async def until_end(self, every_s: float) -> dict[str, Any]:
        """The last status."""
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        try:
            while True:
                await asyncio.sleep(every_s)
                writer.write(self._request)
                body = await _body(reader)
                if b'"finishedAt": null' not in body and b'"finishedAt":null' not in body:
                    return dict(json.loads(body))
        finally:
            writer.close()


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    if length is None:
        raise RuntimeError(f"an answer without a length: {head[:200]!r}")
    return await reader.readexactly(int(length[1]))


async def chat(session: aiohttp.ClientSession, url: str, question: Question, every_s: float) -> Any:
    """Post, and poll until the end; the last status."""
    values = {
        "prompt": question.prompt,
        "system_prompt": question.system,
        "max_tokens": question.max_tokens,
        "temperature": 0,
    }
    async with session.post(f"{url}/v1/text/chat", json=values) as response:
        started = await response.json()
    status = await Poller(url, started["commandId"]).until_end(every_s)
    if not status["success"]:
        raise RuntimeError(status["error"])
    return status


async def speed(url: str, questions: list[Question], every_s: float) -> float:
    """Reply tokens a second of all chats together."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
        ended = await asyncio.gather(*(chat(session, url, one, every_s) for one in questions))
    begun = min(datetime.fromisoformat(status["startedAt"]) for status in ended)
    last = max(datetime.fromisoformat(status["finishedAt"]) for status in ended)
    return float(
        sum(status["completionTokens"] for status in ended) / (last - begun).total_seconds()
    )


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """In turns, each way first every other time."""
    polled: list[float] = []
    alone: list[float] = []
    for number in range(options.rounds + 1):
        questions = questions_of(options, options.clients, options.seed + number)
        ways = [(polled, POLL_S), (alone, SELDOM_S)]
        for speeds, every_s in ways if number % 2 else reversed(ways):
            measured = await speed(options.url, questions, every_s)
            if number:  # the first round warms up
                speeds.append(measured)
            await asyncio.sleep(PAUSE_S)
    ratio = statistics.median(one / other for one, other in zip(polled, alone, strict=True))
    return {"polled": statistics.median(polled), "alone": statistics.median(alone), "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:32168", help="a running LlamaChat host")
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt-words", type=int, default=20)
    parser.add_argument("--system-words", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the prompts")
    parser.add_argument("--json", type=Path, default=Path("bench-polls.json"))
    options = parser.parse_args()
    result = asyncio.run(measure(options))
    print(
        f"{options.clients} chats: {result['polled']:.1f} tokens/s polled every {POLL_S:g} s, "
        f"{result['alone']:.1f} left alone, ratio {result['ratio']:.2f}"
    )
    options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
