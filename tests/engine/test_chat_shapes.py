"""Conversations in llama-cpp-python's shapes, and behind LlamaChat itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_chat import LlamaChat, engine_loader, text_of
from llama_engine.chat.chat_backend import ChatBackend, ChatMessage, ChatStream
from llama_engine.chat.chat_loader import chat_over, load_chat
from llama_engine.chat.engine_chat import EngineChat
from llama_engine.errors import GenerationError, GrammarError, ParameterError, TemplateError
from llama_engine.load_errors import PromptTooLongError
from llama_engine.loading.engine_loading import load_engine
from llama_engine.options import EngineOptions

HELLO = [ChatMessage(role="user", content="ba be bi")]
OPTIONS = EngineOptions(sequences=2, context_tokens=512, threads=1)


@pytest.fixture
def chat(tiny_model: Path) -> Iterator[EngineChat]:
    loaded = load_engine(tiny_model, OPTIONS)
    loaded.engine.start()
    chat = chat_over(loaded)
    yield chat
    chat.close()


def test_a_stream_is_as_llama_cpp_python_has_it(chat: EngineChat) -> None:
    chunks = list(chat.stream(HELLO, {"max_tokens": 5, "temperature": 0.0}))
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant"}
    assert all(set(choice["delta"]) == {"content"} for choice in choices[1:-1])
    assert choices[-1]["delta"] == {}
    assert [choice["finish_reason"] for choice in choices] == [None] * 6 + ["length"]
    usage = chunks[-1]["usage"]
    assert usage["completion_tokens"] == 5
    assert usage["total_tokens"] == usage["prompt_tokens"] + 5


def test_a_completion_is_the_same_text(chat: EngineChat) -> None:
    options = {"max_tokens": 8, "temperature": 0, "logprobs": True, "top_logprobs": 3}
    completion = chat.complete(HELLO, options)
    choice = completion["choices"][0]
    assert completion["object"] == "chat.completion"
    assert choice["message"]["content"] == text_of(chat.stream(HELLO, options))
    assert choice["finish_reason"] == "length"
    content = choice["logprobs"]["content"]
    assert len(content) == 8
    assert [len(token["top_logprobs"]) for token in content] == [3] * 8
    assert "".join(token["token"] for token in content) == choice["message"]["content"]
    assert bytes(content[0]["bytes"]).decode() == content[0]["token"]


def test_prompt_progress_and_should_stop(chat: EngineChat) -> None:
    seen: list[tuple[int, int]] = []
    stream = chat.stream(
        HELLO, {"max_tokens": 400}, lambda *each: seen.append(each), lambda: len(seen) > 0
    )
    chunks = list(stream)
    assert seen[-1][1] == stream.prompt_tokens
    assert stream.completion_tokens < 400
    assert chunks[-1]["choices"][0]["finish_reason"] is None


def test_an_engine_that_stops_fails_the_stream(chat: EngineChat) -> None:
    stream = chat.stream(HELLO, {"max_tokens": 480})
    chunks = [next(stream), next(stream)]
    chat.engine.stop()
    with pytest.raises(GenerationError, match="stopped before the reply had ended"):
        chunks += stream
    assert text_of(chunks)


def test_closing_ends_the_generation(chat: EngineChat) -> None:
    stream = chat.stream(HELLO, {"max_tokens": 480})
    next(stream)
    stream.close()
    stream.close()
    assert stream.completion_tokens < 480
    assert list(stream) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1}, "temprature: expected a known argument"),
        ({"temperature": -1}, "temperature: expected 0 to 100"),
        ({"max_tokens": "abc"}, "max_tokens: expected a whole number, got 'abc'"),
        ({"tools": [{}]}, r"tools\[0\]: expected an object of type function"),
        ({"chat_template": "other"}, "chat_template: expected one of default"),
        ({"reasoning_effort": "none"}, "reasoning_effort: expected one of minimal"),
        ({"n": 2}, "n: expected nothing"),
        ({"stop": [1]}, "stop: expected a text"),
        ({"logit_bias": {"a": 1}}, "logit_bias: expected an object"),
        ({"top_logprobs": 3}, "top_logprobs: expected logprobs"),
        ({"logprobs": True, "top_logprobs": 50}, "top_logprobs: expected 0 to 20"),
        ({"response_format": {"type": "xml"}}, "response_format: expected type text"),
        ({"response_format": {"type": "json_schema"}}, "response_format: expected json_schema"),
    ],
)
def test_arguments_that_cannot_be_kept(
    chat: EngineChat, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        chat.stream(HELLO, options)


def test_a_long_value_is_told_in_few_words(chat: EngineChat) -> None:
    with pytest.raises(ParameterError, match="logit_bias: expected an object") as error:
        chat.stream(HELLO, {"logit_bias": {"a" * 100_000: 1}})
    assert len(str(error.value)) < 400


def test_response_formats(chat: EngineChat) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    for wanted in (
        {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}},
        {"type": "json_object", "schema": schema},
    ):
        reply = chat.complete(HELLO, {"response_format": wanted, "max_tokens": 60})
        assert json.loads(reply["choices"][0]["message"]["content"])["a"] in (True, False)
    with pytest.raises(GrammarError, match="both"):
        chat.stream(HELLO, {"response_format": wanted, "grammar": 'root ::= "a"'})
    with pytest.raises(GrammarError, match="uniqueItems"):
        refused = {"type": "json_object", "schema": {"type": "array", "uniqueItems": True}}
        chat.stream(HELLO, {"response_format": refused})
    assert chat.complete(HELLO, {"response_format": {"type": "text"}, "max_tokens": 3})


def test_a_template_that_raises_belongs_to_its_request(chat: EngineChat) -> None:
    other = chat.stream(HELLO, {"max_tokens": 30})
    with pytest.raises(TemplateError, match="chat template refuses"):
        chat.stream([{"role": "user"}], {})  # type: ignore[typeddict-item]
    assert text_of(other)


def test_a_prompt_too_long(chat: EngineChat) -> None:
    with pytest.raises(PromptTooLongError, match="512"):
        chat.stream([ChatMessage(role="user", content="ba " * 600)], {})


def test_special_tokens_of_the_template_are_tokens(chat: EngineChat) -> None:
    stream = chat.stream(HELLO, {"max_tokens": 1})
    list(stream)
    plain = len(chat.engine.model.tokenize("<|im_start|>", parse_special=False))
    assert plain > 1
    assert len(chat.engine.tokenize("<|im_start|>")) == 1


def test_behind_llama_chat(tiny_model: Path) -> None:
    chat = LlamaChat("", "", tiny_model.name, tiny_model.parent, loader=engine_loader(OPTIONS))
    try:
        streams = [chat.do_chat(f"ba {i}", stream=True, max_tokens=20) for i in range(2)]
        texts = [text_of(stream) for stream in streams]
        assert all(texts)
        assert [stream.completion_tokens for stream in streams] == [20, 20]
        reply = chat.do_chat("ba 0", max_tokens=4)
        assert reply["usage"]["completion_tokens"] == 4
        assert chat.facts is not None
        assert chat.facts.context_tokens == 512
    finally:
        chat.close()


def test_the_engine_is_a_chat_backend(tiny_model: Path) -> None:
    backend: ChatBackend
    backend, header = load_chat(tiny_model, OPTIONS)
    stream: ChatStream = backend.stream(HELLO, {"max_tokens": 2})
    assert text_of(stream)
    assert header.architecture == "qwen2"
    backend.close()
