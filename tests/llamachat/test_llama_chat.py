"""Conversations with a real model of random weights."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_chat import DEFAULT_SYSTEM_PROMPT, LlamaChat, conversation, engine_loader, text_of
from llama_engine.errors import ParameterError
from llama_engine.load_errors import PromptTooLongError
from llama_engine.options import EngineOptions

from bench.make_model import filler_text


@pytest.fixture(scope="module")
def chat(model_dir: Path) -> Iterator[LlamaChat]:
    options = EngineOptions(sequences=2, batch_tokens=64, threads=1)
    model = LlamaChat("", "", "tiny.gguf", model_dir, loader=engine_loader(options))
    model.load()
    yield model
    model.close()


def test_the_constructor_touches_nothing(tmp_path: Path) -> None:
    model = LlamaChat("someone/something", "*.gguf", "x.gguf", tmp_path / "no" / "such")
    assert model.load_error is None
    assert model.model_path is None


def test_a_whole_reply_is_a_chat_completion(chat: LlamaChat) -> None:
    completion = chat.do_chat("Hello", max_tokens=8)
    choice = completion["choices"][0]
    assert completion["object"] == "chat.completion"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"].strip()
    assert choice["finish_reason"] == "length"
    assert completion["usage"]["completion_tokens"] == 8


def test_a_stream_is_the_same_reply_in_pieces(chat: LlamaChat) -> None:
    whole = chat.do_chat("Hello", max_tokens=12, temperature=0.0)
    stream = chat.do_chat("Hello", max_tokens=12, temperature=0.0, stream=True)
    counts, chunks = [], []
    for chunk in stream:
        chunks.append(chunk)
        counts.append(stream.completion_tokens)
    assert text_of(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert counts == sorted(counts)
    assert counts[-1] == 12
    assert stream.prompt_tokens == whole["usage"]["prompt_tokens"]


def test_max_tokens_0_is_all_the_context_holds(model_dir: Path) -> None:
    small = LlamaChat("", "", "tiny.gguf", model_dir, n_ctx=256, verbose=False, n_threads=1)
    completion = small.do_chat("Hello", max_tokens=0)
    usage = completion["usage"]
    # the last token is sampled, and needs no place of its own any more
    assert usage["prompt_tokens"] + usage["completion_tokens"] == 257
    assert completion["choices"][0]["finish_reason"] == "length"
    small.close()


def test_a_prompt_longer_than_the_context_names_both_numbers(model_dir: Path) -> None:
    small = LlamaChat("", "", "tiny.gguf", model_dir, n_ctx=256, verbose=False, n_threads=1)
    for is_stream in (True, False):
        with pytest.raises(PromptTooLongError) as caught:
            if is_stream:
                small.do_chat(filler_text(300), stream=True)
            else:
                small.do_chat(filler_text(300))
        assert caught.value.context_tokens == 256
        assert caught.value.prompt_tokens > 300
        assert str(caught.value.prompt_tokens) in str(caught.value)
        assert "256" in str(caught.value)
    assert text_of(small.do_chat("Hello", max_tokens=3, stream=True))
    small.close()


def test_the_prompt_s_progress_is_told(chat: LlamaChat) -> None:
    seen: list[tuple[int, int]] = []
    stream = chat.do_chat(
        filler_text(400),
        stream=True,
        max_tokens=1,
        on_prompt=lambda done, total: seen.append((done, total)),
    )
    list(stream)
    assert len(seen) > 2
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (stream.prompt_tokens, stream.prompt_tokens)


def test_a_stop_in_the_middle_of_a_prompt(chat: LlamaChat) -> None:
    seen: list[int] = []
    stream = chat.do_chat(
        filler_text(600),
        stream=True,
        on_prompt=lambda done, _: seen.append(done),
        should_stop=lambda: len(seen) >= 2,
    )
    assert text_of(stream) == ""
    assert seen[-1] < stream.prompt_tokens
    assert text_of(chat.do_chat("Hello", max_tokens=3, stream=True))


def test_a_stop_between_two_tokens(chat: LlamaChat) -> None:
    chunks: list[object] = []
    stream = chat.do_chat("Hello", stream=True, should_stop=lambda: len(chunks) >= 5)
    for chunk in stream:
        chunks.append(chunk)
    assert len(chunks) <= 7


def test_a_closed_stream_frees_the_model(chat: LlamaChat) -> None:
    stream = chat.do_chat("Hello", stream=True)
    next(stream)
    next(stream)
    stream.close()
    stream.close()
    assert list(stream) == []
    assert chat.do_chat("Hello", max_tokens=2)["usage"]["completion_tokens"] == 2


def test_streams_of_two_threads_are_the_same_as_alone(chat: LlamaChat) -> None:
    alone = text_of(chat.do_chat("one", stream=True, max_tokens=20, temperature=0.0))
    texts: dict[str, str] = {}

    def ask(prompt: str) -> None:
        stream = chat.do_chat(prompt, stream=True, max_tokens=20, temperature=0.0)
        texts[prompt] = text_of(stream)

    threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert texts["one"] == alone
    assert len(texts) == 2


def test_what_is_known_of_the_model(chat: LlamaChat, model_dir: Path) -> None:
    assert chat.model_path == model_dir / "tiny.gguf"
    assert chat.facts is not None
    assert chat.facts.context_tokens == 2048
    assert chat.facts.device in ("CPU", "GPU")


def test_no_system_prompt_means_the_usual_one() -> None:
    assert conversation("Hi")[0]["content"] == DEFAULT_SYSTEM_PROMPT


@pytest.mark.parametrize("system_prompt", ["", "  \n"])
def test_an_empty_system_prompt_means_none(system_prompt: str) -> None:
    assert conversation("Hi", system_prompt) == [{"role": "user", "content": "Hi"}]


def test_a_system_prompt_is_passed_on() -> None:
    assert conversation("Hi", "Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]


def test_an_unknown_option_is_an_error(chat: LlamaChat) -> None:
    with pytest.raises(ParameterError, match="warmth"):
        chat.do_chat("Hello", warmth=3)
