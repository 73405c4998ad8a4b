"""What fails ends those it belongs to, with the reason; the engine goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from engine_helpers import GREEDY, MakeEngine, ask, assert_same, collect, prompt, wait_for_text
from llama_engine.errors import EngineStoppedError, GenerationError
from llama_engine.llama.batch import Batch
from llama_engine.llama.context import Context
from llama_engine.schedule.engine import Engine
from llama_engine.schedule.generation import Request

Decode = Callable[[Context, Batch], int]
Fault = Callable[[Batch, Context, Decode], int]
DecodeWith = Callable[[Fault], None]


@pytest.fixture
def decode_with(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> DecodeWith:
    """Put something between the engine, which is warm by then, and llama.cpp's decode."""
    collect(ask(engine, [300], 1))

    def put(fault: Fault) -> None:
        real = Context.decode
        monkeypatch.setattr(Context, "decode", lambda context, batch: fault(batch, context, real))

    return put


def rows(batch: Batch) -> list[int]:
    """The tokens of a batch."""
    return [int(batch.struct.token[row]) for row in range(batch.size)]


def test_only_the_culprit_of_a_failed_decode_ends(engine: Engine, decode_with: DecodeWith) -> None:
    poison = 777
    others = [prompt(engine, 30, seed) for seed in range(3)]
    whole = [collect(ask(engine, tokens, 80)) for tokens in others]
    running = [ask(engine, tokens, 80) for tokens in others]
    firsts = [wait_for_text(each) for each in running]

    def fault(batch: Batch, context: Context, real: Decode) -> int:
        return -3 if poison in rows(batch) else real(context, batch)

    decode_with(fault)
    with pytest.raises(GenerationError, match=r"failed to decode \(code -3\)"):
        ask(engine, [300, 301, poison, 302], 5).result()
    for generation, first, reply in zip(running, firsts, whole, strict=True):
        assert_same(reply, collect(generation, first))
    assert engine.counts.failed_decodes > 0


@pytest.mark.parametrize("error", [RuntimeError("lost the device"), OSError("lost the device")])
def test_an_exception_ends_all_it_belongs_to_and_the_engine_goes_on(
    engine: Engine, decode_with: DecodeWith, error: Exception
) -> None:
    faults = iter([True])

    def fault(batch: Batch, context: Context, real: Decode) -> int:
        if next(faults, False):
            raise error
        return real(context, batch)

    decode_with(fault)
    with pytest.raises(GenerationError, match="lost the device"):
        ask(engine, prompt(engine, 20), 5).result()
    assert collect(ask(engine, prompt(engine, 20), 5)).finished.completion_tokens == 5


def test_a_decode_that_half_worked_is_taken_back(engine: Engine, decode_with: DecodeWith) -> None:
    tokens = prompt(engine, 60)
    whole = collect(ask(engine, tokens, 30))
    faults = iter([True, True])
    first_batch: list[Batch] = []

    def fault(batch: Batch, context: Context, real: Decode) -> int:
        """The first decode for both of them fails, and the next one, which is for one of them."""
        code = real(context, batch)
        if len(set(batch._sequences[: batch.size])) > 1:
            first_batch.append(batch)
        return -2 if first_batch and next(faults, False) else code

    decode_with(fault)
    both = [Request(each, GREEDY, 30) for each in (tokens, prompt(engine, 50, 1))]
    ended = [collect(each) for each in engine.submit_all(both)]
    assert sum(reply.finished.reason == "error" for reply in ended) == 1
    assert_same(whole, collect(ask(engine, tokens, 30)))


def test_a_fault_of_the_engine_itself_is_told(engine: Engine, decode_with: DecodeWith) -> None:
    faults = iter([True])

    def fault(batch: Batch, context: Context, real: Decode) -> int:
        if next(faults, False):
            raise KeyError("a mistake")
        return real(context, batch)

    decode_with(fault)
    with pytest.raises(GenerationError, match="The engine failed"):
        ask(engine, prompt(engine, 20), 5).result()
    assert collect(ask(engine, prompt(engine, 20), 5)).finished.completion_tokens == 5


def test_a_cache_that_is_full_for_one_alone_ends_it(
    engine: Engine, decode_with: DecodeWith
) -> None:
    decode_with(lambda batch, context, real: 1)
    with pytest.raises(GenerationError, match="No room in the KV cache"):
        ask(engine, prompt(engine, 20), 5).result()


def test_the_death_of_its_thread_is_told_before_its_end(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    has_died = threading.Event()
    engine = make_engine(on_death=lambda: told.append(has_died.is_set()))
    collect(ask(engine, [300], 1))

    def end(self: Context, batch: Batch) -> int:
        raise SystemExit

    monkeypatch.setattr(Context, "decode", end)
    generation = ask(engine, [300, 301], 5)
    collect(generation)
    has_died.set()
    assert told == [False], "before any generation was ended"
    with pytest.raises(EngineStoppedError):
        ask(engine, [300], 1)


def test_a_stop_is_no_death(make_engine: MakeEngine) -> None:
    told: list[bool] = []
    engine = make_engine(on_death=lambda: told.append(True))
    assert engine.stop()
    assert told == []


def test_an_engine_that_dies_fails_what_it_had(engine: Engine, decode_with: DecodeWith) -> None:
    generation = ask(engine, prompt(engine, 20), 400)
    first = wait_for_text(generation)

    def fault(batch: Batch, context: Context, real: Decode) -> int:
        raise SystemExit("the end of the thread")

    decode_with(fault)
    reply = collect(generation, first)
    assert reply.finished.reason == "error"
    assert "stopped by itself: SystemExit('the end of the thread')" in (reply.finished.error or "")
    assert reply.text
