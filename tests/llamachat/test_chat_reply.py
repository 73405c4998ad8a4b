"""A reply as its command sees it, from the real model and from stand-ins for rare endings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from chat_reply import CUT_REPLY, EMPTY_REPLY, ChatReply
from chat_request import ChatRequest
from llama_chat import LlamaChat
from llama_engine.chat.chat_backend import ChatMessage, ChatStream, Chunk, Completion, ModelFacts
from llama_engine.gguf.header import GgufHeader
from llama_engine.gguf.weight_sizes import WeightSizes

from bench.make_model import filler_text
from sdk import RunningCommand
from sdk.host.output import Channel


def request(prompt: str = "Hello", max_tokens: int = 10) -> ChatRequest:
    return ChatRequest(prompt, None, max_tokens, 0.0)


class Watched:
    """A command, and what it was told."""

    def __init__(self, cancel_after_chars: int | None = None) -> None:
        self.command = RunningCommand("c1", self._changed)
        self.lengths: list[int] = []
        self.cancel_after_chars = cancel_after_chars
        self.on_text: Callable[[], None] | None = None

    def _changed(self) -> None:
        length = self.command.output.total
        self.lengths.append(length)
        if length and self.on_text is not None:
            self.on_text()
        if self.cancel_after_chars is not None and length > self.cancel_after_chars:
            self.command.request_cancel()

    @property
    def fields(self) -> dict[str, Any]:
        return self.command.output.fields()[0]


@pytest.fixture(scope="module")
def chat(model_dir: Path) -> Iterator[LlamaChat]:
    model = LlamaChat("", "", "tiny.gguf", model_dir, n_ctx=512, verbose=False, n_threads=1)
    model.load()
    yield model
    model.close()


def test_a_reply_grows_and_is_counted(chat: LlamaChat) -> None:
    watched = Watched()
    result = ChatReply(chat, request(max_tokens=20), watched.command).run()
    assert result["success"] is True
    assert result["stop_reason"] == "length"
    assert result["processMs"] >= result["inferenceMs"] >= 0
    assert len(set(watched.lengths)) >= 20
    assert watched.fields["completionTokens"] == 20
    assert watched.fields["promptTokens"] == watched.fields["promptTokensProcessed"]
    assert watched.fields["tokensPerSecond"] > 0


def test_a_cancel_ends_it_and_keeps_the_text(chat: LlamaChat) -> None:
    watched = Watched(cancel_after_chars=20)
    result = ChatReply(chat, request(max_tokens=300), watched.command).run()
    assert result["stop_reason"] == "cancelled"
    assert result["success"] is True
    assert 20 < watched.command.output.total < 60
    assert ChatReply(chat, request(), Watched().command).run()["stop_reason"] == "length"


def test_a_cancel_in_the_prompt(chat: LlamaChat) -> None:
    watched = Watched()
    watched.command.request_cancel()
    result = ChatReply(chat, request(filler_text(300)), watched.command).run()
    assert result["stop_reason"] == "cancelled"
    assert watched.command.text == ""


def test_a_prompt_that_is_too_long_fails_with_both_numbers(chat: LlamaChat) -> None:
    watched = Watched()
    result = ChatReply(chat, request(filler_text(700)), watched.command).run()
    assert result["success"] is False
    assert "512" in result["error"]


class Scripted:
    """A backend that says what it was told to."""

    facts = ModelFacts(100, "CPU", "")

    def __init__(self, texts: Sequence[str | dict[str, Any]], finish_reason: str | None) -> None:
        self.texts = texts
        self.finish_reason = finish_reason

    def complete(self, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> Completion:
        raise NotImplementedError

    def stream(
        self, messages: Sequence[ChatMessage], options: Mapping[str, Any], *_: object
    ) -> ChatStream:
        def chunks() -> Iterator[Chunk]:
            for text in self.texts:
                delta = {"content": text} if isinstance(text, str) else text
                yield {"choices": [{"delta": delta, "finish_reason": None}]}
            yield {"choices": [{"delta": {}, "finish_reason": self.finish_reason}]}

        return ScriptedStream(chunks())

    def status(self) -> dict[str, Any]:
        return {}

    def close(self) -> None: ...


class ScriptedStream:
    """Chunks that were written beforehand."""

    prompt_tokens, completion_tokens, cached_tokens = 1, 0, 0

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[Chunk]:
        return self.chunks

    def __next__(self) -> Chunk:
        return next(self.chunks)

    def close(self) -> None: ...


def scripted(texts: Sequence[str | dict[str, Any]], finish_reason: str | None) -> LlamaChat:
    header = GgufHeader(Path("m.gguf"), 1, {}, WeightSizes((), 0, 0, 0))
    backend = Scripted(texts, finish_reason)
    here = Path(__file__)
    return LlamaChat("", "", here.name, here.parent, loader=lambda *_: (backend, header))


def test_a_model_that_ends_by_itself_has_completed() -> None:
    watched = Watched()
    result = ChatReply(scripted(["Yes", "."], "stop"), request(), watched.command).run()
    assert (result["success"], result["stop_reason"]) == (True, "completed")
    assert watched.command.text == "Yes."


def test_thoughts_and_calls_have_channels_of_their_own() -> None:
    call = {"index": 0, "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    texts = [{"reasoning_content": "Rain?"}, "I look.", {"tool_calls": [call]}]
    watched = Watched()
    result = ChatReply(scripted(texts, "tool_calls"), request(), watched.command).run()
    assert (result["success"], result["stop_reason"]) == (True, "tool_calls")
    assert watched.command.text == "I look."
    assert watched.command.output.text(Channel("reasoning")) == "Rain?"
    assert watched.command.output.text(Channel("tool_calls", 0, "weather")) == "{}"


def test_a_thought_alone_is_no_empty_reply() -> None:
    thought = scripted([{"reasoning_content": "Hm."}], "stop")
    assert ChatReply(thought, request(), Watched().command).run()["success"] is True


def test_an_empty_reply_is_a_failure_never_a_success() -> None:
    result = ChatReply(scripted([], "stop"), request(), Watched().command).run()
    assert (result["success"], result["error"]) == (False, EMPTY_REPLY)


def test_a_stream_without_its_end_has_failed_and_keeps_the_text() -> None:
    watched = Watched()
    result = ChatReply(scripted(["Yes", ","], None), request(), watched.command).run()
    assert (result["success"], result["error"]) == (False, CUT_REPLY)
    assert watched.command.text == "Yes,"


def test_an_engine_that_stops_fails_the_reply_and_keeps_the_text(model_dir: Path) -> None:
    model = LlamaChat("", "", "tiny.gguf", model_dir, n_ctx=512, n_threads=1)
    model.load()
    watched = Watched()
    watched.on_text = model.close
    result = ChatReply(model, request(max_tokens=400), watched.command).run()
    assert result["success"] is False
    assert result["error"] == "The engine was stopped before the reply had ended"
    assert watched.command.text


def test_a_stop_string_at_once_is_an_empty_reply(chat: LlamaChat) -> None:
    first = Watched()
    ChatReply(chat, request(max_tokens=1), first.command).run()
    watched = Watched()
    stopped = ChatRequest("Hello", None, 10, 0.0, {"stop": [first.command.text]})
    result = ChatReply(chat, stopped, watched.command).run()
    assert (result["success"], result["stop_reason"]) == (True, "completed")
    assert watched.command.text == ""


def test_a_length_that_left_no_room_for_a_word() -> None:
    result = ChatReply(scripted([], "length"), request(), Watched().command).run()
    assert (result["success"], result["stop_reason"]) == (True, "length")
