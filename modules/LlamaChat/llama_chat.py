"""LlamaChat: one GGUF model, asked in conversations.

Invariant: the constructor touches nothing; after `load()` there is either a model or a `load_error`
that says why not, and nothing ever answers in the place of a model that is not there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, overload

from llama_engine.chat.chat_backend import (
    ChatBackend,
    ChatMessage,
    ChatStream,
    Completion,
    ModelFacts,
    PromptProgress,
    ShouldStop,
)
from llama_engine.chat.messages import read_messages
from llama_engine.errors import ParameterError
from llama_engine.gguf.header import GgufHeader
from llama_engine.load_errors import LoadReason, ModelLoadError
from llama_engine.options import EngineOptions
from model_files.source import ModelHub, ModelSource, locate

DEFAULT_SYSTEM_PROMPT = (
    "You're a helpful assistant who answers questions the user asks of you concisely and "
    "accurately."
)

BackendLoader = Callable[[Path], tuple[ChatBackend, GgufHeader]]
"""Loads a file; raises ModelLoadError."""


def engine_loader(
    options: EngineOptions,
    progress: Callable[[float], bool] | None = None,
    on_death: Callable[[], None] | None = None,
) -> BackendLoader:
    """The usual backend: the engine. `progress` is called with 0.0 to 1.0 while it loads,
    `on_death` should it end by itself.

    llama.cpp's library is imported when it is needed, so that its absence is a reason like others.
    """

    def load(path: Path) -> tuple[ChatBackend, GgufHeader]:
        try:
            from llama_engine.chat.chat_loader import load_chat
        except (ImportError, OSError, RuntimeError) as ex:
            raise ModelLoadError(
                LoadReason.NO_LIBRARY,
                f"llama-cpp-python cannot be used: {ex}. Run the install script again; "
                "`llamachat doctor` says more",
            ) from ex
        return load_chat(path, options, progress, on_death)

    return load


class LlamaChat:
    """A GGUF model from a directory or the hub, and conversations with it.

    `repo_id` and `fileglob` say where on the hub the model is, should `filename` not be in
    `model_dir`. `n_ctx` 0 is the model's own context length as far as memory allows;
    `n_gpu_layers` -1 puts as many layers as fit on the accelerator there is; `n_threads` 0 is one
    thread for each physical core that the process may use. A `loader` says all that by itself, and
    more.
    """

    def __init__(
        self,
        repo_id: str,
        fileglob: str,
        filename: str,
        model_dir: str | Path,
        n_ctx: int = 0,
        verbose: bool = True,
        n_gpu_layers: int = -1,
        n_threads: int = 0,
        *,
        loader: BackendLoader | None = None,
        hub: ModelHub | None = None,
    ) -> None:
        repo = repo_id.removeprefix("@")
        self.source = ModelSource(Path(model_dir), filename, repo, fileglob)
        self.verbose = verbose
        self._loader = loader or engine_loader(
            EngineOptions(context_tokens=n_ctx, gpu_layers=n_gpu_layers, threads=n_threads)
        )
        self._hub = hub
        self._load_lock = threading.Lock()
        self._backend: ChatBackend | None = None
        self.header: GgufHeader | None = None
        """What the file says of itself, once it is loaded."""
        self.load_error: ModelLoadError | None = None
        """Why there is no model; None before `load()` and after it has gone well."""

    @property
    def model_path(self) -> Path | None:
        """The loaded model's file."""
        return self.header.path if self.header else None

    @property
    def facts(self) -> ModelFacts | None:
        return self._backend.facts if self._backend else None

    def status(self) -> dict[str, Any]:
        """What the backend says of itself; empty without a model."""
        return self._backend.status() if self._backend else {}

    def load(self) -> None:
        """Find, fetch and load the model, if it is not loaded yet. May take minutes.

        Raises ModelLoadError, and keeps it as `load_error`; a later call tries again.
        """
        with self._load_lock:
            if self._backend is not None:
                return
            try:
                path = locate(self.source, self._hub)
                self._backend, self.header = self._loader(path)
            except ModelLoadError as ex:
                self.load_error = ex
                raise
            self.load_error = None

    @overload
    def do_chat(
        self,
        prompt: str | None = None,
        system_prompt: str | None = None,
        *,
        messages: Any = None,
        stream: Literal[True],
        on_prompt: PromptProgress | None = None,
        should_stop: ShouldStop | None = None,
        **kwargs: Any,
    ) -> ChatStream: ...

    @overload
    def do_chat(
        self,
        prompt: str | None = None,
        system_prompt: str | None = None,
        *,
        messages: Any = None,
        stream: Literal[False] = False,
        **kwargs: Any,
    ) -> Completion: ...

    def do_chat(
        self,
        prompt: str | None = None,
        system_prompt: str | None = None,
        *,
        messages: Any = None,
        stream: bool = False,
        on_prompt: PromptProgress | None = None,
        should_stop: ShouldStop | None = None,
        **kwargs: Any,
    ) -> Completion | ChatStream:
        """Ask the model one thing, or go on with a conversation, with its own chat template.

        `messages` are in OpenAI's shape; a `prompt` beside them is what the user says after them.
        Returns llama-cpp-python's chat completion, or with `stream=True` an iterator of its chunks
        that also knows `prompt_tokens` and `completion_tokens` and can be closed. Further arguments
        are those of `Llama.create_chat_completion`, and `chat_template` (the name of one of the
        model's), `enable_thinking` and `reasoning_effort`; `max_tokens` 0 (the default) is as many
        as the context holds. `on_prompt` and `should_stop` follow a stream: see chat_backend.

        Loads the model first where that was not done. Raises ModelLoadError, PromptTooLongError,
        RequestError.
        """
        self.load()
        backend = self._backend
        if backend is None:
            raise RuntimeError("The model was closed")
        whole = conversation(prompt, system_prompt, messages)
        if stream:
            return backend.stream(whole, kwargs, on_prompt, should_stop)
        return backend.complete(whole, kwargs)

    def close(self) -> None:
        """Free the model's memory."""
        with self._load_lock:
            backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()


def conversation(
    prompt: str | None, system_prompt: str | None = None, messages: Any = None
) -> list[ChatMessage]:
    """What the model gets: the messages, and what the user says after them.

    For a prompt without a system prompt there is the usual one, unless the messages have their own;
    a blank one means none at all, and the model's chat template does what it does then. Messages
    alone are the whole conversation. Raises ParameterError.
    """
    said = [] if messages is None else read_messages(messages)
    if prompt is not None:
        said.append(ChatMessage(role="user", content=prompt))
    elif not said:
        raise ParameterError("prompt", "a text, or messages in its place", prompt)
    has_system = any(message["role"] == "system" for message in said)
    if has_system and system_prompt is not None:
        expected = "none beside messages with a system message of their own"
        raise ParameterError("system_prompt", expected, system_prompt)
    if system_prompt is None and prompt is not None and not has_system:
        system_prompt = DEFAULT_SYSTEM_PROMPT
    system = (system_prompt or "").strip() and str(system_prompt)
    return [ChatMessage(role="system", content=system), *said] if system else said


def text_of(chunks: Iterable[dict[str, Any]]) -> str:
    """The text of a stream's chunks, put together."""
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
