"""The module: LlamaChat on a host's queue.

Invariant: without a model every command fails with the reason why there is none; nothing else ever
answers in its place.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from chat_request import ChatRequest
from generation import Generation
from llama_chat import LlamaChat
from load_errors import ModelLoadError
from model_choice import ENV_CONTEXT_TOKENS, ENV_THREADS, HOW_TO_RETURN, choose_model

from sdk import (
    JSON,
    LogMethod,
    LogVerbosity,
    LongProcess,
    ModuleOptions,
    ModuleRunner,
    RequestData,
    RunningCommand,
)

logger = logging.getLogger(__name__)

MODULE_PATH = Path(__file__).resolve().parent
SELFTEST_PROMPT = "What can you do?"
SELFTEST_TOKENS = 64


class LlamaChat_adapter(ModuleRunner):
    """Answers the command `prompt` with a reply that grows."""

    def __init__(self) -> None:
        super().__init__()
        self.parallelism = 1  # one context, one generation: the rest waits in the queue
        self.llama_chat: LlamaChat | None = None
        self.load_error: ModelLoadError | None = None

    def initialise(self) -> None:
        """Load the model. Raises where there is none to load: the host shows the reason."""
        try:
            source = choose_model(os.environ, MODULE_PATH)
            self.llama_chat = LlamaChat(
                repo_id=source.repo,
                fileglob=source.fileglob,
                filename=source.filename,
                model_dir=source.directory,
                n_ctx=_whole_number(ENV_CONTEXT_TOKENS),
                verbose=self.log_verbosity is LogVerbosity.Loud,
                n_gpu_layers=-1 if self.enable_GPU else 0,
                n_threads=_whole_number(ENV_THREADS),
            )
            self.llama_chat.load()
        except ModelLoadError as ex:
            self.load_error = ModelLoadError(ex.reason, f"{ex}. {HOW_TO_RETURN}", ex.path)
            raise self.load_error from ex
        self._tell_device(self.llama_chat)

    def process(self, data: RequestData) -> JSON | LongProcess:
        """Check the request; the reply itself is made in the background."""
        chat = self._model()
        request = ChatRequest.from_data(data)

        def reply(_data: RequestData, command: RunningCommand) -> dict[str, Any]:
            return Generation(chat, request, command).run()

        return LongProcess(reply)

    def module_status(self) -> JSON:
        """The model and what it runs on."""
        chat = self.llama_chat
        status: dict[str, Any] = {
            "modelFile": chat.source.filename if chat else None,
            "loadError": str(self.load_error) if self.load_error else None,
            "loadErrorReason": self.load_error.reason.value if self.load_error else None,
        }
        if chat and chat.header and chat.facts:
            status |= {
                "modelFile": chat.header.path.name,
                "modelName": chat.header.name,
                "architecture": chat.header.architecture,
                "quantisation": chat.header.quantisation,
                "contextTokens": chat.facts.context_tokens,
                "modelContextTokens": chat.header.context_tokens,
            }
        return status

    def selftest(self) -> JSON:
        """A real reply from the model that is configured."""
        chat = self._model()
        completion = chat.do_chat(SELFTEST_PROMPT, max_tokens=SELFTEST_TOKENS, temperature=0.0)
        text = completion["choices"][0]["message"]["content"] or ""
        name = chat.model_path.name if chat.model_path else "the model"
        if not text.strip():
            return {"success": False, "error": f"{name} gave an empty reply"}
        return {"success": True, "message": f"{name} answers", "reply": text}

    def cleanup(self) -> None:
        """Free the model's memory."""
        if self.llama_chat is not None:
            self.llama_chat.close()

    def _model(self) -> LlamaChat:
        if self.load_error is not None:
            raise self.load_error
        if self.llama_chat is None:
            raise RuntimeError("The model is not loaded yet: initialise() has not run")
        return self.llama_chat

    def _tell_device(self, chat: LlamaChat) -> None:
        facts = chat.facts
        if facts is None:
            return
        self.inference_device = facts.device
        self.inference_library = facts.library
        self.can_use_GPU = facts.device == "GPU"
        on = f"{facts.device} {facts.library}".strip()
        message = f"Using {chat.model_path} on {on}, context of {facts.context_tokens} tokens"
        self.log(LogMethod.Info | LogMethod.Server, {"message": message, "loglevel": "information"})


def _whole_number(name: str) -> int:
    """An environment variable that is a number or not set. Raises ValueError naming it."""
    text = ModuleOptions.getEnvVariable(name, "0")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name}: expected a whole number of at least 0, got '{text}'")
    return int(text)


if __name__ == "__main__":
    LlamaChat_adapter().start_loop()
