"""Conversations on an engine, in llama-cpp-python's shapes: what `do_chat` has behind it.

Invariant: a stream ends with a finish reason, with an exception, or by `close()`, and in every case
the engine is told, so that nothing is generated that nobody will read. A reply that was cut and not
by its reader ends with an exception.
"""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llama_engine.chat.chat_backend import (
    ChatMessage,
    Chunk,
    Completion,
    ModelFacts,
    PromptProgress,
    ShouldStop,
)
from llama_engine.chat.chat_template import ChatTemplate
from llama_engine.chat.deltas import WholeMessage, deltas_of
from llama_engine.chat.reply_parser import Piece, ReplyParser
from llama_engine.chat.reply_plan import plan_reply
from llama_engine.errors import GenerationError
from llama_engine.loading.facts import EngineFacts
from llama_engine.schedule.engine import Engine
from llama_engine.schedule.generation import Finished, Generation, TextDelta
from llama_engine.schedule.generation import PromptProgress as Progress
from llama_engine.text.logprobs import TokenLogprob

_ASK_EVERY_S = 0.1
"""How often `should_stop` is asked while nothing comes."""


class EngineChat:
    """The engine as a `ChatBackend`: any number of streams at a time."""

    def __init__(self, engine: Engine, template: ChatTemplate, setup: EngineFacts) -> None:
        self.engine = engine
        self.setup = setup
        self._template = template
        self._facts = ModelFacts(engine.context_tokens, setup.device, setup.library)
        self._name = setup.header.path.name

    @property
    def facts(self) -> ModelFacts:
        return self._facts

    def status(self) -> dict[str, Any]:
        """What was chosen and what goes on, for people and for the module's status."""
        engine, plan = self.engine, self.setup.plan
        return {
            "sequences": plan.sequences,
            "running": engine.running,
            "waiting": engine.waiting,
            "contextTokens": engine.context_tokens,
            "totalTokens": plan.total_tokens,
            "context": plan.reason,
            "threads": self.setup.threads,
            "device": self.setup.device,
            "library": self.setup.library,
            "layers": self.setup.layers,
            "keptPrefixBytes": engine.snapshots.size_bytes,
            **engine.counts.as_status(),
        }

    def stream(
        self,
        messages: Sequence[ChatMessage],
        options: Mapping[str, Any],
        on_prompt: PromptProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> EngineStream:
        """The reply piece by piece; it is under way when this returns.

        Raises PromptTooLongError, ParameterError, GrammarError, TemplateError (all ValueError).
        """
        request, parser = plan_reply(self._template, self.engine.tokenize, messages, options)
        generation = self.engine.submit(request)
        return EngineStream(generation, self._name, parser, on_prompt, should_stop)

    def complete(self, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> Completion:
        """The whole reply. Raises what `stream` raises, and GenerationError."""
        stream = self.stream(messages, options)
        message = WholeMessage()
        logprobs: list[dict[str, Any]] = []
        reason = None
        for chunk in stream:
            choice = chunk["choices"][0]
            message.add(choice["delta"])
            logprobs += (choice["logprobs"] or {"content": []})["content"]
            reason = choice["finish_reason"]
        return {
            **stream.head("chat.completion"),
            "choices": [
                {
                    "index": 0,
                    "message": message.as_dict(),
                    "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
                    "finish_reason": reason,
                }
            ],
            "usage": stream.usage,
        }

    def close(self) -> None:
        """End all generations and free the model."""
        self.engine.stop()
        self._template.close()


class EngineStream:
    """A reply as it is generated (see ChatStream). One thread iterates; any may close."""

    def __init__(
        self,
        generation: Generation,
        name: str,
        parser: ReplyParser,
        on_prompt: PromptProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> None:
        self.prompt_tokens = generation.prompt_tokens
        self.completion_tokens = 0
        """Tokens sampled when the last chunk was made, the end token not counted."""
        self.cached_tokens = 0
        """Prompt tokens that did not have to be evaluated."""
        self.finished: Finished | None = None
        """How it ended, with its times; None before."""
        self._generation = generation
        self._name = name
        self._parser = parser
        self._id = "chatcmpl-" + secrets.token_hex(16)
        self._created = int(time.time())
        self._on_prompt = on_prompt
        self._should_stop = should_stop
        self._is_closed = False
        self._chunks = self._generate()

    @property
    def usage(self) -> dict[str, Any]:
        """OpenAI's usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }

    def __iter__(self) -> EngineStream:
        return self

    def __next__(self) -> Chunk:
        return next(self._chunks)

    def close(self) -> None:
        """End the generation; nothing more comes. May be called twice, and from anywhere."""
        self._is_closed = True
        self._generation.cancel()

    def head(self, kind: str) -> dict[str, Any]:
        """What every object of this reply begins with."""
        return {"id": self._id, "object": kind, "created": self._created, "model": self._name}

    def _generate(self) -> Iterator[Chunk]:
        yield self._chunk({"role": "assistant"})
        while self.finished is None:
            event = self._next_event()
            if event is None:
                yield from self._chunks_of(self._parser.end())
                return
            self.completion_tokens = self._generation.completion_tokens
            if isinstance(event, Progress):
                self._progress(event)
            elif isinstance(event, TextDelta):
                yield from self._chunks_of(self._parser.push(event.text), event.logprobs)
            else:
                self.finished = event
        yield from self._chunks_of(self._parser.end())
        if self.finished.error is not None:
            raise GenerationError(self.finished.error)
        if self.finished.reason != "cancelled":  # by `close()` in another thread
            has_called = self.finished.reason == "stop" and self._parser.has_calls
            reason = "tool_calls" if has_called else self.finished.reason
            yield {**self._chunk({}, reason=reason), "usage": self.usage}

    def _chunks_of(
        self, pieces: list[Piece], logprobs: tuple[TokenLogprob, ...] = ()
    ) -> Iterator[Chunk]:
        """A chunk for each piece; log probabilities go with the first, or by themselves."""
        for delta in deltas_of(pieces) or ([{"content": ""}] if logprobs else []):
            yield self._chunk(delta, logprobs)
            logprobs = ()

    def _next_event(self) -> Progress | TextDelta | Finished | None:
        """The next event; None when nobody wants it any more, which is asked while waiting too."""
        while True:
            if self._should_stop is not None and self._should_stop():
                self.close()
            if self._is_closed:
                return None
            try:
                return self._generation.next_event(_ASK_EVERY_S)
            except queue.Empty:
                continue

    def _progress(self, event: Progress) -> None:
        self.cached_tokens = event.cached
        if self._on_prompt is not None:
            self._on_prompt(event.evaluated, event.total)

    def _chunk(
        self,
        delta: dict[str, Any],
        logprobs: tuple[TokenLogprob, ...] = (),
        reason: str | None = None,
    ) -> Chunk:
        content = [_logprob(each) for each in logprobs]
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": {"content": content, "refusal": None} if content else None,
            "finish_reason": reason,
        }
        return {**self.head("chat.completion.chunk"), "choices": [choice]}


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    top = [_one_logprob(piece, logprob) for _, piece, logprob in token.top]
    return {**_one_logprob(token.piece, token.logprob), "top_logprobs": top}


def _one_logprob(piece: bytes, logprob: float) -> dict[str, Any]:
    text = piece.decode("utf-8", errors="replace")
    return {"token": text, "logprob": logprob, "bytes": list(piece)}
