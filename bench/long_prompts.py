"""What long prompts cost: those who read meanwhile, whoever cancels, and the next turn.

Three replies stream while a long prompt arrives: what it does to the gaps between their tokens,
how soon a cancel in its middle takes effect, and whether the replies stay what they are without it.
Then a conversation with a long history takes its second turn: at once, after other conversations
used the slots, and after a restart with the cache on disk.

    .venv/bin/python bench/long_prompts.py --model half-billion.gguf --json long-prompts.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "modules" / "LlamaChat")]

from llama_engine.loading.engine_loading import load_engine  # noqa: E402
from llama_engine.options import EngineOptions  # noqa: E402
from llama_engine.schedule.engine import Engine  # noqa: E402
from llama_engine.schedule.generation import (  # noqa: E402
    Finished,
    Generation,
    PromptProgress,
    Request,
    TextDelta,
)
from llama_engine.text.logprobs import TokenLogprob  # noqa: E402
from llama_engine.text.sampling import SamplingParams  # noqa: E402

from bench.make_model import filler_text, make_model  # noqa: E402

GREEDY = SamplingParams(temperature=0)
READERS = 3
READER_TOKENS = 400
CANCEL_AFTER = 1_000  # tokens of the long prompt
SETTLED_S = 0.3  # after a newcomer's first, longer step


@dataclass
class Reader:
    """One reply as it is read: its tokens, and when each came."""

    generation: Generation
    tokens: list[TokenLogprob] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    has_begun: threading.Event = field(default_factory=threading.Event)

    def follow(self) -> None:
        for event in self.generation:
            if isinstance(event, TextDelta):
                self.tokens += event.logprobs
                self.at_s += [time.perf_counter()] * len(event.logprobs)
                if len(self.tokens) >= 60:
                    self.has_begun.set()


def words(engine: Engine, tokens: int, seed: int) -> list[int]:
    """A prompt of so many tokens."""
    return engine.tokenize(filler_text(tokens, seed))[:tokens]


def read_beside(engine: Engine, meanwhile: Any) -> tuple[list[Reader], Any]:
    """Three replies to their ends; `meanwhile()` is called once they are under way."""
    requests = [
        Request(words(engine, 60, seed), GREEDY, max_tokens=READER_TOKENS, top_logprobs=1)
        for seed in range(READERS)
    ]
    readers = [Reader(generation) for generation in engine.submit_all(requests)]
    threads = [threading.Thread(target=reader.follow) for reader in readers]
    for thread in threads:
        thread.start()
    for reader in readers:
        reader.has_begun.wait()
    result = meanwhile()
    for thread in threads:
        thread.join()
    return readers, result


def gaps_ms(readers: Sequence[Reader], start_s: float, end_s: float) -> list[float]:
    """Gaps between tokens that ended within a time, sorted."""
    return sorted(
        1e3 * (after - before)
        for reader in readers
        for before, after in zip(reader.at_s, reader.at_s[1:], strict=False)
        if start_s <= after <= end_s
    )


def cancelled_prompt(engine: Engine, tokens: int) -> dict[str, Any]:
    """A long prompt is cancelled in its middle."""
    quiet, _ = read_beside(engine, lambda: None)

    def cancel() -> tuple[float, float, float]:
        begun_s = time.perf_counter()
        long = engine.submit(Request(words(engine, tokens, 9), GREEDY, max_tokens=4))
        for event in long:
            if isinstance(event, PromptProgress) and event.evaluated >= CANCEL_AFTER:
                break
        cancelled_s = time.perf_counter()
        long.cancel()
        while not isinstance(long.next_event(60), Finished):
            pass
        return begun_s, cancelled_s, time.perf_counter()

    disturbed, (begun_s, cancelled_s, gone_s) = read_beside(engine, cancel)
    during = gaps_ms(disturbed, begun_s, gone_s)
    return {
        "cancel_ms": 1e3 * (gone_s - cancelled_s),
        "largest_gap_ms": during[-1],
        "replies": [
            _compared(one.tokens, other.tokens) for one, other in zip(quiet, disturbed, strict=True)
        ],
    }


def _compared(quiet: list[TokenLogprob], disturbed: list[TokenLogprob]) -> str:
    """The same, or where they part and how close the two best tokens were there."""
    for at, (one, other) in enumerate(zip(quiet, disturbed, strict=False)):
        if one.token != other.token:
            others = [logprob for token, _, logprob in one.top if token != one.token]
            margin = abs(one.logprob - max(others, default=one.logprob))
            return f"part at token {at}, where the two best are {margin:.4f} apart"
    return "same" if len(quiet) == len(disturbed) else "one is shorter"


def arriving_prompt(engine: Engine, tokens: int) -> dict[str, Any]:
    """A long prompt is evaluated to its end beside three replies."""

    def evaluate() -> tuple[float, float]:
        begun_s = time.perf_counter()
        engine.submit(Request(words(engine, tokens, 11), GREEDY, max_tokens=1)).result()
        return begun_s, time.perf_counter()

    readers, (begun_s, ended_s) = read_beside(engine, evaluate)
    last_s = min(reader.at_s[-1] for reader in readers)
    before = gaps_ms(readers, readers[0].at_s[20], begun_s)
    during = gaps_ms(readers, begun_s + SETTLED_S, min(ended_s, last_s))
    return {
        "gap_before_ms": statistics.median(before),
        "gap_during_ms": statistics.median(during),
        "stretch": statistics.median(during) / statistics.median(before),
        "largest_gap_ms": during[-1],
        "prompt_s": ended_s - begun_s,
    }


@dataclass
class Turn:
    """What the second turn of a conversation had to evaluate."""

    when: str
    prompt_tokens: int
    evaluated_tokens: int
    first_token_ms: float


def second_turns(model: Path, options: argparse.Namespace) -> list[Turn]:
    """Turn two at once, after the other slots were busy, and after a restart."""
    turns = []
    with tempfile.TemporaryDirectory() as folder:
        engine = load(model, options, Path(folder))
        history = words(engine, options.history_tokens, 21)
        said, _ = engine.submit(Request(history, GREEDY, max_tokens=40)).result()
        turn = [*history, *engine.tokenize(said), *words(engine, 30, 22)]
        turns.append(_turn(engine, turn, "at once"))
        for seed in range(31, 31 + 2 * options.sequences):
            engine.submit(Request(words(engine, 300, seed), GREEDY, max_tokens=8)).result()
        turn = [*turn[:-1], *words(engine, 25, 23)]
        turns.append(_turn(engine, turn, "after other slots were busy"))
        engine.stop()
        engine = load(model, options, Path(folder))
        turn = [*turn[:-1], *words(engine, 25, 24)]
        turns.append(_turn(engine, turn, "after a restart"))
        engine.stop()
    return turns


def _turn(engine: Engine, tokens: list[int], when: str) -> Turn:
    _, ended = engine.submit(Request(tokens, GREEDY, max_tokens=8)).result()
    evaluated = ended.prompt_tokens - ended.cached_tokens
    return Turn(when, ended.prompt_tokens, evaluated, ended.prompt_ms)


def load(model: Path, options: argparse.Namespace, disk: Path | None = None) -> Engine:
    """An engine with four sequences, each long enough."""
    context_tokens = 256 * -(-(options.prompt_tokens + READER_TOKENS + 256) // 256)
    engine = load_engine(
        model,
        EngineOptions(
            sequences=options.sequences,
            context_tokens=context_tokens,
            threads=options.threads,
            disk_cache_directory=disk,
        ),
    ).engine
    engine.start()
    return engine


def measure(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    engine = load(model, options)
    cancelled = cancelled_prompt(engine, options.prompt_tokens)
    arriving = arriving_prompt(engine, options.prompt_tokens)
    engine.stop()
    turns = [asdict(turn) for turn in second_turns(model, options)]
    return {"cancelled": cancelled, "arriving": arriving, "second_turns": turns}


def table(result: dict[str, Any]) -> str:
    """For people."""
    cancelled, arriving = result["cancelled"], result["arriving"]
    lines = [
        f"cancelled in the middle: gone after {cancelled['cancel_ms']:.0f} ms; "
        f"the readers' largest gap {cancelled['largest_gap_ms']:.0f} ms",
        *(f"  reply {at}: {said}" for at, said in enumerate(cancelled["replies"], 1)),
        f"arriving: the readers' median gap {arriving['gap_before_ms']:.0f} ms before, "
        f"{arriving['gap_during_ms']:.0f} ms during ({arriving['stretch']:.2f} times), "
        f"{arriving['largest_gap_ms']:.0f} ms at most; "
        f"the prompt took {arriving['prompt_s']:.1f} s",
    ]
    for turn in result["second_turns"]:
        lines.append(
            f"turn two {turn['when']}: evaluated {turn['evaluated_tokens']} of "
            f"{turn['prompt_tokens']} tokens, first token after {turn['first_token_ms']:.0f} ms"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="default: a random-weight one made for the run")
    parser.add_argument("--prompt-tokens", type=int, default=4_000)
    parser.add_argument("--history-tokens", type=int, default=2_000)
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0, help="0: as the engine chooses")
    parser.add_argument("--json", type=Path, default=Path("bench-long-prompts.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or Path(folder) / "model.gguf"
        if options.model is None:
            make_model(model)
        result = measure(model, options)
    print(table(result))
    options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
