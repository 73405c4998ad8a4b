"""One reply, from the request to its last token, told to the command as it grows.

Invariant: a cancel is heard between two tokens and between two pieces of a prompt, and the model is
free again when `run()` returns, however it ends.
"""

from __future__ import annotations

import time
from typing import Any

from chat_request import ChatRequest
from llama_chat import LlamaChat
from llama_engine.chat.chat_backend import ChatStream, Chunk
from llama_engine.errors import GenerationError, RequestError
from llama_engine.load_errors import PromptTooLongError

from sdk import RunningCommand

COUNT_EVERY_S = 0.05
"""The status shows the counts no more often."""
EMPTY_REPLY = (
    "The model ended without a word. Ask again, in other words or with a higher temperature"
)

CUT_REPLY = "The reply was cut: the engine ended before it. What there is of it is kept"
_CHANNELS = {"content": "reply", "reasoning_content": "reasoning"}
_STOP_REASONS = {"length": "length", "tool_calls": "tool_calls"}


class ChatReply:
    """Runs one request on the model, and reports to one command."""

    def __init__(self, chat: LlamaChat, request: ChatRequest, command: RunningCommand) -> None:
        self._chat = chat
        self._request = request
        self._command = command
        self._first_token_s: float | None = None
        self._counted_s = 0.0
        self._has_text = False
        self._failure: str | None = None
        self._finish_reason: str | None = None
        self._logprobs: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """Generate. Returns the command's result fields."""
        started_s = time.perf_counter()
        request = self._request
        try:
            stream = self._chat.do_chat(
                request.prompt,
                request.system_prompt,
                messages=request.messages,
                stream=True,
                on_prompt=self._on_prompt,
                should_stop=lambda: self._command.is_cancelled,
                max_tokens=request.max_tokens,
                temperature=request.temperature,
                **request.options,
            )
        except (PromptTooLongError, RequestError) as ex:
            return {"success": False, "error": str(ex), "code": 400}
        self._command.set(promptTokens=stream.prompt_tokens, promptTokensProcessed=0)
        inference_started_s = time.perf_counter()
        try:
            for chunk in stream:
                self._on_chunk(chunk, stream)
                if self._command.is_cancelled:
                    stream.close()  # what it held back of the text still comes
        except GenerationError as ex:
            self._failure = str(ex)
        finally:
            stream.close()
        self._count(stream.completion_tokens, time.perf_counter())
        ended_s = time.perf_counter()
        return self._result(stream.completion_tokens) | {
            "processMs": int((ended_s - started_s) * 1000),
            "inferenceMs": int((ended_s - inference_started_s) * 1000),
        }

    def _on_prompt(self, evaluated_tokens: int, _all_tokens: int) -> None:
        self._command.set(promptTokensProcessed=evaluated_tokens)

    def _on_end_of_prompt(self, cached_tokens: int, now_s: float) -> None:
        self._first_token_s = now_s
        self._command.set(promptTokensCached=cached_tokens)

    def _on_chunk(self, chunk: Chunk, stream: ChatStream) -> None:
        choice = chunk["choices"][0]
        self._finish_reason = choice["finish_reason"] or self._finish_reason
        self._on_delta(choice["delta"])
        self._logprobs += (choice.get("logprobs") or {}).get("content") or []
        now_s = time.perf_counter()
        if self._first_token_s is None:
            self._on_end_of_prompt(stream.cached_tokens, now_s)
        if now_s - self._counted_s >= COUNT_EVERY_S:
            self._count(stream.completion_tokens, now_s)

    def _on_delta(self, delta: dict[str, Any]) -> None:
        """Each piece goes to its channel."""
        for field, channel in _CHANNELS.items():
            if delta.get(field):
                self._has_text = True
                self._command.append(delta[field], channel)
        for call in delta.get("tool_calls", ()):
            self._has_text = True
            function = call["function"]
            self._command.append(
                function["arguments"], "tool_calls", index=call["index"], name=function["name"]
            )

    def _count(self, tokens: int, now_s: float) -> None:
        self._counted_s = now_s
        took_s = now_s - (self._first_token_s or now_s)
        self._command.set(completionTokens=tokens, tokensPerSecond=_rate(tokens - 1, took_s))

    def _is_stopped_at_once(self, tokens: int) -> bool:
        """Whether a stop string was all there was: the model spoke, and nothing is shown."""
        return bool(tokens and self._request.options.get("stop"))

    def _result(self, tokens: int) -> dict[str, Any]:
        if self._command.is_cancelled:
            return {"success": True, "stop_reason": "cancelled"}
        if self._failure is not None or self._finish_reason is None:
            return {"success": False, "error": self._failure or CUT_REPLY}
        is_cut = self._finish_reason == "length"
        if not (self._has_text or is_cut or self._is_stopped_at_once(tokens)):
            return {"success": False, "error": EMPTY_REPLY}
        reason = _STOP_REASONS.get(self._finish_reason, "completed")
        result: dict[str, Any] = {"success": True, "stop_reason": reason}
        return result | ({"logprobs": {"content": self._logprobs}} if self._logprobs else {})


def _rate(tokens: int, took_s: float) -> float:
    """Tokens a second after the first one, to two digits; 0 until there is a second one."""
    return round(tokens / took_s, 2) if tokens > 0 and took_s > 0 else 0.0
