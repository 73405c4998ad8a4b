"""llama-cpp-python's own loop behind the `ChatBackend` seam: one generation at a time.

Invariant: whoever holds the lock owns the llama.cpp context; the lock is given back when a stream
ends, fails or is closed. A prompt is evaluated in short pieces, so that a stop is heard in the
middle of a long one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, cast

import llama_cpp
from chat_backend import ChatMessage, Chunk, Completion, ModelFacts, PromptProgress, ShouldStop
from llama_cpp import llama_chat_format
from llama_loader import LoadedModel
from llama_prompt import PromptTemplate
from load_errors import PromptTooLongError

_PIECE_S = 0.4
"""How long the evaluation of one piece of a prompt should take: a cancel waits so long at most."""
_FIRST_PIECE_TOKENS = 8
_LEAST_PIECE_TOKENS = 4


class LlamaStream:
    """A reply as it is generated (see ChatStream)."""

    def __init__(self, prompt_tokens: int) -> None:
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = 0
        self._chunks: Generator[Chunk, None, None] | None = None

    def start(self, chunks: Generator[Chunk, None, None]) -> LlamaStream:
        self._chunks = chunks
        return self

    def __iter__(self) -> LlamaStream:
        return self

    def __next__(self) -> Chunk:
        if self._chunks is None:
            raise StopIteration
        return next(self._chunks)

    def close(self) -> None:
        chunks, self._chunks = self._chunks, None
        if chunks is not None:
            chunks.close()


class LlamaCppBackend:
    """A loaded model that answers one conversation at a time; others wait for it."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._llama = loaded.llama
        self._facts = loaded.facts
        self._template = _template_of(loaded.llama)
        self._lock = threading.Lock()

    @property
    def facts(self) -> ModelFacts:
        return self._facts

    def complete(self, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> Completion:
        """The whole reply. Raises PromptTooLongError, ValueError for messages or options."""
        text, tokens = self._prompt(messages)
        with self._lock:
            self._evaluate(tokens, None, _never)
            reply = self._create(text, messages, _never, {**options, "stream": False})
        return cast(Completion, reply)

    def stream(
        self,
        messages: Sequence[ChatMessage],
        options: Mapping[str, Any],
        on_prompt: PromptProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> LlamaStream:
        """The reply piece by piece; nothing is evaluated before the first one is asked for."""
        text, tokens = self._prompt(messages)
        stream = LlamaStream(len(tokens))
        stop = should_stop or _never

        def chunks() -> Generator[Chunk, None, None]:
            with self._lock:
                if not self._evaluate(tokens, on_prompt, stop):
                    return
                for chunk in self._create(text, messages, stop, {**options, "stream": True}):
                    stream.completion_tokens = self._sampled_tokens(len(tokens), chunk)
                    yield cast(Chunk, chunk)

        return stream.start(chunks())

    def close(self) -> None:
        """Free the model, once no generation needs it."""
        with self._lock:
            self._llama.close()

    def _prompt(self, messages: Sequence[ChatMessage]) -> tuple[str, list[int]]:
        """The prompt as text and as tokens, known to fit."""
        text = self._template.render(messages)
        tokens = self._llama.tokenize(text.encode("utf-8"), add_bos=False, special=True)
        if len(tokens) >= self._facts.context_tokens:
            raise PromptTooLongError(len(tokens), self._facts.context_tokens)
        return text, tokens

    def _evaluate(
        self, tokens: list[int], on_prompt: PromptProgress | None, should_stop: ShouldStop
    ) -> bool:
        """Put the prompt into the KV cache; False where it was stopped on the way.

        What the context holds already is kept where the prompt goes on from it. llama-cpp-python
        then finds the whole prompt there and begins to sample at once.
        """
        llama, total = self._llama, len(tokens)
        held = llama.input_ids[: llama.n_tokens].tolist()
        if held != tokens[: len(held)]:
            cast(Any, llama).reset()
        size = _FIRST_PIECE_TOKENS
        while llama.n_tokens < total:
            if should_stop():
                return False
            started_s = time.perf_counter()
            llama.eval(tokens[llama.n_tokens : llama.n_tokens + size])
            size = _next_size(size, time.perf_counter() - started_s, llama.n_batch)
            if on_prompt is not None:
                on_prompt(llama.n_tokens, total)
        return not should_stop()

    def _create(
        self,
        text: str,
        messages: Sequence[ChatMessage],
        should_stop: ShouldStop,
        options: Mapping[str, Any],
    ) -> Any:
        """Generate from the rendered prompt. The criterion is asked after every token."""
        criteria = llama_cpp.StoppingCriteriaList([lambda _tokens, _logits: should_stop()])
        prepared = llama_chat_format.ChatFormatterResponse(
            prompt=text, stopping_criteria=criteria, added_special=True
        )
        make_handler = cast(
            Callable[[Any], Any], llama_chat_format.chat_formatter_to_chat_completion_handler
        )
        self._llama.chat_handler = make_handler(lambda **_: prepared)
        if not options.get("max_tokens"):
            options = {**options, "max_tokens": None}
        return self._llama.create_chat_completion(cast(Any, list(messages)), **options)

    def _sampled_tokens(self, prompt_tokens: int, chunk: Any) -> int:
        """Tokens of the reply so far: evaluated ones, and the one sampled last unless it ends."""
        evaluated = self._llama.n_tokens - prompt_tokens
        return int(evaluated + (chunk["choices"][0]["finish_reason"] != "stop"))


def _never() -> bool:
    return False


def _next_size(size: int, took_s: float, most: int) -> int:
    """Tokens for the next piece, so that it takes about `_PIECE_S`; at most double the last."""
    fitting = int(size * _PIECE_S / max(took_s, 1e-6))
    return max(_LEAST_PIECE_TOKENS, min(fitting, size * 2, most))


def _template_of(llama: llama_cpp.Llama) -> PromptTemplate:
    vocab = llama_cpp.llama_model_get_vocab(llama.model)
    if vocab is None:
        raise ValueError("The model has no vocabulary")

    def text_of(token: int) -> str:
        raw = llama_cpp.llama_vocab_get_text(vocab, token) if token >= 0 else b""
        return raw.decode("utf-8", errors="replace")

    return PromptTemplate(
        llama.metadata.get("tokenizer.chat_template"),
        bos_text=text_of(llama.token_bos()),
        eos_text=text_of(llama.token_eos()),
        add_bos=bool(llama_cpp.llama_vocab_get_add_bos(vocab)),
    )
