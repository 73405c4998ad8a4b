"""Too few KV cells: kept prefixes go first, then the youngest sequence steps back, unharmed."""

from __future__ import annotations

from engine_helpers import MakeEngine, ask, assert_same, collect, prompt, wait_for_text


def test_the_youngest_steps_back_and_goes_on(make_engine: MakeEngine) -> None:
    engine = make_engine(sequences=4, layout="shared", total_tokens=512, context_tokens=512)
    alone = make_engine(sequences=1, memory_cache_bytes=0)
    prompts = [prompt(engine, 60, seed) for seed in range(4)]
    generations, firsts = [], []
    for tokens in prompts:
        generations.append(ask(engine, tokens, 150))
        firsts.append(wait_for_text(generations[-1]))
    replies = [collect(*each) for each in zip(generations, firsts, strict=True)]
    assert engine.counts.stepped_back > 0
    for tokens, reply in zip(prompts, replies, strict=True):
        assert reply.finished.completion_tokens == 150
        assert_same(collect(ask(alone, tokens, 150)), reply)


def test_kept_prefixes_go_before_anybody_steps_back(make_engine: MakeEngine) -> None:
    engine = make_engine(sequences=4, layout="shared", total_tokens=512, context_tokens=512)
    for seed in range(3):
        collect(ask(engine, prompt(engine, 130, seed), 8))
    reply = collect(ask(engine, prompt(engine, 400, 9), 8))
    assert reply.finished.completion_tokens == 8
    assert engine.counts.stepped_back == 0


def test_a_prompt_that_fills_the_whole_context_decodes(make_engine: MakeEngine) -> None:
    for layout in ("shared", "streams"):
        engine = make_engine(sequences=2, layout=layout, total_tokens=1024, context_tokens=512)
        for seed in range(4):
            collect(ask(engine, prompt(engine, 300, seed), 20))
        reply = collect(ask(engine, prompt(engine, 512, 8), 5))
        assert (reply.finished.reason, reply.finished.completion_tokens) == ("length", 1)


def test_the_contexts_end_is_length(make_engine: MakeEngine) -> None:
    engine = make_engine(sequences=1, context_tokens=512)
    finished = collect(ask(engine, prompt(engine, 500), 0)).finished
    assert (finished.reason, finished.completion_tokens) == ("length", 13)
