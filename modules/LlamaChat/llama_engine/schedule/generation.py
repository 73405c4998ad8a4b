"""A request, and the handle on what becomes of it.

Invariant: a generation's events end with exactly one `Finished`, whatever happens; its handle may
be used from any thread.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from llama_engine.errors import GenerationError
from llama_engine.text.logprobs import TokenLogprob
from llama_engine.text.sampling import SamplingParams

TEXT_EVERY_S = 0.03
"""Readers of fast replies are woken no more often: each waking takes a core from the decoding."""

Reason = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True)
class Request:
    """What to generate from. `tokens` is the whole prompt, as the model is to see it.

    `max_tokens` 0 means up to the context's end. `grammar` is GBNF; `schema` is what
    `schema_grammar` made of a JSON schema; one of them at most. `top_logprobs` None means no
    logprobs, a number that many alternatives beside each token's own.
    """

    tokens: Sequence[int]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int = 0
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    schema: str | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True)
class PromptProgress:
    """How far the prompt is evaluated. `cached` of the tokens did not need to be."""

    evaluated: int
    total: int
    cached: int


@dataclass(frozen=True)
class TextDelta:
    """A piece of the reply. `text` may be empty where only logprobs are new."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The end. Times are milliseconds: waiting for a place, evaluating the prompt, generating."""

    reason: Reason
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    queued_ms: float = 0.0
    prompt_ms: float = 0.0
    generation_ms: float = 0.0
    error: str | None = None


Event = PromptProgress | TextDelta | Finished


class Generation:
    """The reply to one request as it comes. Iterate over it once."""

    def __init__(self, prompt_tokens: int, wake: Callable[[], None]) -> None:
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = 0
        """Tokens sampled so far, the end token not counted."""
        self.is_cancelled = False
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._held: list[Event] = []
        self._is_urgent = False
        self._delivered_s = 0.0
        self._wake = wake

    def cancel(self) -> None:
        """Ask for the end, now and for good. May be called from anywhere, any number of times."""
        if not self.is_cancelled:
            self.is_cancelled = True
            self._wake()

    def put(self, event: Event) -> None:
        """For the engine: hold an event until `deliver()`."""
        self._is_urgent |= not isinstance(event, TextDelta) or not self._delivered_s
        self._held.append(event)

    def deliver(self) -> None:
        """For the engine: hand over what was held, which wakes whoever waits for it.

        A reply's words are handed over every `TEXT_EVERY_S`, its first ones at once.
        """
        if not self._held:
            return
        now_s = time.monotonic()
        if not self._is_urgent and now_s - self._delivered_s < TEXT_EVERY_S:
            return
        if isinstance(self._held[-1], TextDelta):
            self._delivered_s = now_s
        for event in self._held:
            self._events.put(event)
        self._held.clear()
        self._is_urgent = False

    def next_event(self, timeout_s: float | None = None) -> Event:
        """Wait for the next event. Raises queue.Empty when none came in time."""
        return self._events.get(timeout=timeout_s)

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self._events.get()
            yield event
            if isinstance(event, Finished):
                return

    def result(self) -> tuple[str, Finished]:
        """Wait for the whole reply. Raises GenerationError where it failed."""
        text = []
        for event in self:
            if isinstance(event, TextDelta):
                text.append(event.text)
            elif isinstance(event, Finished):
                if event.error is not None:
                    raise GenerationError(event.error)
                return "".join(text), event
        raise AssertionError("a generation ends with Finished")
