"""How much of llama.cpp's speed the engine keeps: against a bare `llama_decode` loop, in turns.

Both run on the same weights, threads and samplers, with one stream of KV cells a sequence. The bare
loop is the best one can write over these bindings: one batch for all steps, of which only tokens
and positions change, and llama.cpp's own samplers. Prompts are evaluated before the clock starts,
all but their last token; the time is that of the last prompt token and the reply, for all
sequences.

    .venv/bin/python bench/engine.py --model half-billion.gguf --output engine.json

Without `--model` a random-weight model of half a billion parameters is made for the run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "modules" / "LlamaChat")]

import llama_cpp  # noqa: E402
from llama_engine.llama.batch import Batch  # noqa: E402
from llama_engine.llama.model import Model  # noqa: E402
from llama_engine.llama.sampler import Sampler  # noqa: E402
from llama_engine.loading.engine_loading import load_engine  # noqa: E402
from llama_engine.options import EngineOptions  # noqa: E402
from llama_engine.schedule.engine import Engine  # noqa: E402
from llama_engine.schedule.generation import Request  # noqa: E402
from llama_engine.text.sampling import SamplingParams  # noqa: E402

from bench.make_model import filler_text, make_model  # noqa: E402

Tokens = list[int]


@dataclass
class Pair:
    """One comparison. Speeds are reply tokens a second, all sequences together."""

    bare: float
    engine: float
    same_tokens: bool

    @property
    def ratio(self) -> float:
        return self.engine / self.bare


@dataclass
class Result:
    """All pairs of a number of sequences."""

    sequences: int
    pairs: list[Pair]

    def median(self, of: str) -> float:
        return float(statistics.median(getattr(pair, of) for pair in self.pairs))


class BareLoop:
    """A context of its own over the engine's weights, and the loop that everyone writes first."""

    def __init__(self, model: Model, sequences: int, context_tokens: int, threads: int) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = sequences * context_tokens
        params.n_batch = params.n_ubatch = 512
        params.n_seq_max = params.n_outputs_max = sequences
        params.kv_unified = False
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        self._model = model
        self._context: Any = llama_cpp.llama_init_from_model(model.handle, params)
        self._batch = Batch(512)

    def close(self) -> None:
        llama_cpp.llama_free(self._context)

    def run(self, prompts: Sequence[Tokens], tokens: int) -> tuple[float, list[Tokens]]:
        """Returns seconds, and each sequence's tokens."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        for sequence, prompt in enumerate(prompts):
            self._prefill(sequence, prompt)
        samplers = [Sampler(self._model, GREEDY) for _ in prompts]
        chains = [sampler.chain for sampler in samplers]
        started = time.perf_counter()
        replies = self._generate(prompts, chains, tokens)
        took_s = time.perf_counter() - started
        for sampler in samplers:
            sampler.free()
        return took_s, replies

    def _prefill(self, sequence: int, tokens: Tokens) -> None:
        """Evaluate all, and take the last one back: rounding is as in the engine then."""
        for start in range(0, len(tokens), 512):
            self._batch.clear()
            for at, token in enumerate(tokens[start : start + 512], start):
                self._batch.add(token, at, sequence, False)
            self._decode()
        memory = llama_cpp.llama_get_memory(self._context)
        llama_cpp.llama_memory_seq_rm(memory, sequence, len(tokens) - 1, -1)

    def _generate(self, prompts: Sequence[Tokens], chains: list[Any], tokens: int) -> list[Tokens]:
        self._batch.clear()
        for sequence, prompt in enumerate(prompts):
            self._batch.add(prompt[-1], len(prompt) - 1, sequence, True)
        rows, positions = self._batch.struct.token, self._batch.struct.pos
        replies: list[Tokens] = [[] for _ in prompts]
        sample, context = llama_cpp.llama_sampler_sample, self._context
        for _ in range(tokens):
            self._decode()
            for row, chain in enumerate(chains):
                token = sample(chain, context, row)
                replies[row].append(token)
                rows[row] = token
                positions[row] += 1
        return replies

    def _decode(self) -> None:
        self._batch.struct.n_tokens = self._batch.size
        code = llama_cpp.llama_decode(self._context, self._batch.struct)
        if code:
            raise RuntimeError(f"llama_decode answered {code}")


GREEDY = SamplingParams(temperature=0)


def run_engine(engine: Engine, prompts: Sequence[Tokens], tokens: int) -> tuple[float, list[str]]:
    """The same with the engine, whose cache holds the prompts already: seconds and texts."""
    for prompt in prompts:
        engine.submit(Request(prompt, GREEDY, max_tokens=1)).result()
    started = time.perf_counter()
    generations = engine.submit_all(Request(each, GREEDY, max_tokens=tokens) for each in prompts)
    texts = [generation.result()[0] for generation in generations]
    return time.perf_counter() - started, texts


def compare(model: Path, sequences: int, options: argparse.Namespace) -> Result:
    """Run both so many times, each of them first every other time."""
    context_tokens = -(-(options.prompt_tokens + options.tokens + 1) // 256) * 256
    loaded = load_engine(
        model,
        EngineOptions(
            sequences=sequences,
            context_tokens=context_tokens,
            layout="streams",
            threads=options.threads,
            longest_step_ms=60_000,  # whole prompts in one step, as in the bare loop
        ),
    )
    engine = loaded.engine
    engine.start()
    bare = BareLoop(engine.model, sequences, context_tokens, loaded.facts.threads)
    pairs = []
    for number in range(options.pairs + 1):
        prompts = [
            engine.tokenize(filler_text(options.prompt_tokens, 1000 * number + sequence))
            for sequence in range(sequences)
        ]
        pair = run_pair(engine, bare, prompts, options.tokens, engine_first=number % 2 == 1)
        if number:  # the first one warms up
            pairs.append(pair)
    bare.close()
    engine.stop()
    return Result(sequences, pairs)


def run_pair(
    engine: Engine, bare: BareLoop, prompts: list[Tokens], tokens: int, engine_first: bool
) -> Pair:
    """One run of each; whether they said the same is told by the text."""
    if engine_first:
        engine_s, texts = run_engine(engine, prompts, tokens)
        bare_s, replies = bare.run(prompts, tokens)
    else:
        bare_s, replies = bare.run(prompts, tokens)
        engine_s, texts = run_engine(engine, prompts, tokens)
    said = [b"".join(map(engine.model.piece, reply)).decode() for reply in replies]
    count = len(prompts) * tokens
    return Pair(count / bare_s, count / engine_s, said == texts)


def table(results: Sequence[Result]) -> str:
    """Medians for people."""
    lines = ["sequences  bare tok/s  engine tok/s  ratio  same tokens"]
    for result in results:
        same = sum(pair.same_tokens for pair in result.pairs)
        lines.append(
            f"{result.sequences:9d}  {result.median('bare'):10.1f}  {result.median('engine'):12.1f}"
            f"  {result.median('ratio'):5.3f}  {same} of {len(result.pairs)}"
        )
    return "\n".join(lines)


def plot(results: Sequence[Result]) -> str:
    """Throughput against sequences, as an SVG."""
    width, height, edge = 640, 400, 60
    most = max(max(result.median("bare"), result.median("engine")) for result in results) * 1.1
    last = max(result.sequences for result in results)

    def point(sequences: int, speed: float) -> tuple[float, float]:
        across = edge + (width - 2 * edge) * sequences / last
        return across, height - edge - (height - 2 * edge) * speed / most

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<path d="M{edge} {edge}V{height - edge}H{width - edge}" fill="none" stroke="black"/>',
        f'<text x="{width / 2}" y="{height - 15}" text-anchor="middle">sequences</text>',
        f'<text x="15" y="{edge - 20}">reply tokens a second</text>',
    ]
    for at, (name, colour) in enumerate((("bare", "#d55e00"), ("engine", "#0072b2"))):
        points = [point(result.sequences, result.median(name)) for result in results]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{edge + 20}" y="{edge + 16 * at}" fill="{colour}">{name}</text>')
        for result, (x, y) in zip(results, points, strict=True):
            label = f"{result.median(name):.0f}"
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            parts.append(f'<text x="{x + 6:.1f}" y="{y + 14 - 20 * at:.1f}">{label}</text>')
    for result in results:
        x, _ = point(result.sequences, 0)
        parts.append(
            f'<text x="{x:.1f}" y="{height - edge + 18}" text-anchor="middle">'
            f"{result.sequences}</text>"
        )
    return "\n".join([*parts, "</svg>"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Compare the engine with a bare llama.cpp loop.")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=64, help="reply tokens a sequence")
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--output", type=Path, help="JSON file; a plot is put beside it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        model = options.model or make_model(Path(directory) / "half-billion.gguf")
        results = [compare(model, sequences, options) for sequences in options.sequences]
    print(table(results))
    if options.output is not None:
        described = [{**asdict(result), "ratio": result.median("ratio")} for result in results]
        options.output.write_text(json.dumps(described, indent=1) + "\n")
        options.output.with_suffix(".svg").write_text(plot(results))


if __name__ == "__main__":
    main()
