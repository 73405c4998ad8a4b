"""The whole service against any OpenAI-compatible server, with the same prompts, in turns.

    python bench/chat.py --url http://127.0.0.1:32168 --peer http://127.0.0.1:8080

Each client posts a chat, follows its events and notes when text came. A round is timed from the
first post to the last token, all clients starting together. Prompts differ between clients and
rounds, so that only a shared system prompt (`--system-words`) can be reused from a cache.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from make_model import filler_text

PAUSE_S = 0.5  # what a side does after its last token is not to fall into the other's round
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_read=600)


@dataclass
class Question:
    """One chat: the prompts are words that every model of make_model.py knows."""

    system: str
    prompt: str
    max_tokens: int


@dataclass
class Answer:
    """What one client saw. Times are seconds since its post."""

    tokens: int = 0
    text_at_s: list[float] = field(default_factory=list)

    @property
    def first_s(self) -> float:
        return self.text_at_s[0]

    @property
    def gaps_ms(self) -> list[float]:
        pairs = zip(self.text_at_s, self.text_at_s[1:], strict=False)
        return [1000 * (after - before) for before, after in pairs]


@dataclass
class Round:
    """One side, one number of clients, all at once."""

    tokens_per_s: float
    first_median_s: float
    first_slowest_s: float
    gap_median_ms: float
    gap_p95_ms: float


Ask = Callable[[aiohttp.ClientSession, str, Question], Awaitable[Answer]]


async def ask_llamachat(session: aiohttp.ClientSession, url: str, question: Question) -> Answer:
    """Post, then follow the command's events."""
    values = {
        "prompt": question.prompt,
        "system_prompt": question.system,
        "max_tokens": question.max_tokens,
        "temperature": 0,
    }
    answer, begun_s = Answer(), time.perf_counter()
    async with session.post(f"{url}/v1/text/chat", json=values) as response:
        command_id = (await response.json())["commandId"]
    async with session.get(f"{url}/v1/commands/{command_id}/events") as response:
        async for line in response.content:
            if not line.startswith(b"data: "):
                continue
            status = json.loads(line[6:])
            if status["delta"]:
                answer.text_at_s.append(time.perf_counter() - begun_s)
            if not status["success"]:
                raise RuntimeError(status["error"])
            answer.tokens = status.get("completionTokens", 0)
    return answer


async def ask_openai(session: aiohttp.ClientSession, url: str, question: Question) -> Answer:
    """Stream one chat completion; every chunk with text counts as one token."""
    body = {
        "messages": [
            {"role": "system", "content": question.system},
            {"role": "user", "content": question.prompt},
        ],
        "max_tokens": question.max_tokens,
        "temperature": 0,
        "stream": True,
    }
    answer, begun_s = Answer(), time.perf_counter()
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.content:
            if line.startswith(b"data: {") and _text_of(json.loads(line[6:])):
                answer.text_at_s.append(time.perf_counter() - begun_s)
    answer.tokens = len(answer.text_at_s)
    return answer


def _text_of(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""


async def run_round(ask: Ask, url: str, questions: list[Question]) -> Round:
    """All clients at once; the figures of what they saw."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
        begun_s = time.perf_counter()
        answers = await asyncio.gather(*(ask(session, url, one) for one in questions))
        elapsed_s = time.perf_counter() - begun_s
    firsts = [answer.first_s for answer in answers]
    gaps = sorted(gap for answer in answers for gap in answer.gaps_ms) or [0.0]
    return Round(
        tokens_per_s=sum(answer.tokens for answer in answers) / elapsed_s,
        first_median_s=statistics.median(firsts),
        first_slowest_s=max(firsts),
        gap_median_ms=statistics.median(gaps),
        gap_p95_ms=gaps[int(0.95 * (len(gaps) - 1))],
    )


def questions_of(options: argparse.Namespace, clients: int, seed: int) -> list[Question]:
    """Prompts of a round: the system prompt is the round's, the question each client's own."""
    shared = filler_text(options.system_words, seed) if options.system_words else ""
    return [
        Question(
            system=shared or filler_text(5, seed * 1000 + client),
            prompt=filler_text(options.prompt_words, seed * 1000 + client + 500),
            max_tokens=options.tokens,
        )
        for client in range(clients)
    ]


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every number of clients, the sides in turns, the medians of the rounds."""
    sides: list[tuple[str, Ask, str]] = [("llamachat", ask_llamachat, options.url)]
    if options.peer:
        sides.append(("peer", ask_openai, options.peer))
    for _, ask, url in sides:  # loads what is loaded late
        await run_round(ask, url, questions_of(options, 1, options.seed))
    rows = []
    for clients in options.clients:
        rounds: dict[str, list[Round]] = {name: [] for name, _, _ in sides}
        for number in range(options.rounds):
            seed = options.seed + 100 * clients + number + 1
            questions = questions_of(options, clients, seed)
            for name, ask, url in sides if number % 2 == 0 else reversed(sides):
                rounds[name].append(await run_round(ask, url, questions))
                await asyncio.sleep(PAUSE_S)
        row: dict[str, Any] = {name: _medians(rounds[name]) for name in rounds}
        if options.peer:
            row["ratio"] = _ratio(rounds["llamachat"], rounds["peer"])
        rows.append({"clients": clients, **row})
        _print_row(rows[-1])
    return rows


def _medians(rounds: list[Round]) -> dict[str, float]:
    names = asdict(rounds[0])
    return {name: statistics.median(getattr(one, name) for one in rounds) for name in names}


def _ratio(ours: list[Round], theirs: list[Round]) -> float:
    """The median of the ratios of rounds that stood side by side, so that drift cancels out."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(one.tokens_per_s / other.tokens_per_s for one, other in pairs)


def _print_row(row: dict[str, Any]) -> None:
    for name in ("llamachat", "peer"):
        if name not in row:
            continue
        one = row[name]
        ratio = row.get("ratio", 1.0) if name == "llamachat" else 1.0
        print(
            f"{row['clients']:>7}  {name:<10} {one['tokens_per_s']:>9.1f} {ratio:>6.2f}"
            f" {one['first_median_s']:>9.2f} {one['first_slowest_s']:>9.2f}"
            f" {one['gap_median_ms']:>8.0f} {one['gap_p95_ms']:>8.0f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:32168", help="a running LlamaChat host")
    parser.add_argument("--peer", help="an OpenAI-compatible server with the same model")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 8, 16, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt-words", type=int, default=60)
    parser.add_argument("--system-words", type=int, default=0, help="a system prompt for all")
    parser.add_argument("--tokens", type=int, default=64, help="length of each reply")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the prompts")
    parser.add_argument("--json", type=Path, default=Path("bench-chat.json"))
    options = parser.parse_args()
    print("clients  side        tokens/s  ratio  first s  slowest s  gap ms  p95 ms")
    rows = asyncio.run(measure(options))
    settings = {key: str(value) for key, value in vars(options).items()}
    options.json.write_text(json.dumps({"settings": settings, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
