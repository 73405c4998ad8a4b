"""The module: LlamaChat on a host's queue.

Invariant: without a model every command fails with the reason why there is none; nothing else ever
answers in its place.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from build_proof import current_proof, prove, why_broken
from chat_reply import ChatReply
from chat_request import ChatRequest
from engine_settings import engine_options
from llama_chat import LlamaChat, engine_loader
from llama_engine.load_errors import LoadReason, ModelLoadError
from llama_engine.options import MOST_SEQUENCES, EngineOptions
from model_files.choice import HOW_TO_RETURN, choose_model
from safe_mode import SafeMode, go_safe, remedy_for

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
SELFTEST_TOKENS = 16


class LlamaChat_adapter(ModuleRunner):
    """Answers the command `prompt` with a reply that grows."""

    def __init__(self) -> None:
        super().__init__()
        self._proof = current_proof()
        self._safe_mode_reason = ModuleOptions.safe_mode_reason or why_broken(self._proof)
        self._usual_sequences = self._sequences()
        self.parallelism = 1 if self._safe_mode_reason else self._usual_sequences
        self.safe_mode: SafeMode | None = None
        self.llama_chat: LlamaChat | None = None
        self.load_error: ModelLoadError | None = None
        self.load_percent = 0

    def initialise(self) -> None:
        """Load the model. Raises where there is none to load: the host shows the reason."""
        options = self._engine_options()
        try:
            self._prove_build()
            if self._safe_mode_reason:
                options = self._go_safe(options, self._safe_mode_reason)
            source = choose_model(os.environ, MODULE_PATH)
            self.llama_chat = LlamaChat(
                repo_id=source.repo,
                fileglob=source.fileglob,
                filename=source.filename,
                model_dir=source.directory,
                verbose=self.log_verbosity is LogVerbosity.Loud,
                loader=engine_loader(options, self._on_load_progress, self._engine_has_died),
            )
            self.llama_chat.load()
        except ModelLoadError as ex:
            is_of_model = ex.reason not in (LoadReason.BROKEN_BUILD, LoadReason.NO_LIBRARY)
            more = f"{HOW_TO_RETURN}. `llamachat doctor` says more"
            text = f"{ex}. {more}" if is_of_model else str(ex)
            self.load_error = ModelLoadError(ex.reason, text, ex.path)
            raise self.load_error from ex
        self._tell_device(self.llama_chat)
        self._tell_safe_mode(self.llama_chat)

    def _sequences(self) -> int:
        """How many replies are generated at once: as set, else what suits the device."""
        wanted = ModuleOptions.getEnvVariable("CPAI_MODULE_PARALLELISM", "0")
        if wanted.isdigit() and int(wanted):
            return min(int(wanted), MOST_SEQUENCES)
        try:
            from llama_engine.loading.engine_loading import default_sequences
        except (ImportError, OSError, RuntimeError):
            return 1  # loading will say what is missing
        return default_sequences(self._has_gpu())

    def _has_gpu(self) -> bool:
        """Whether there is one for this module, and llama.cpp can use it."""
        try:
            from llama_engine.llama.backend import has_gpu
        except (ImportError, OSError, RuntimeError):
            return False
        return has_gpu(self.enable_GPU)

    def _prove_build(self) -> None:
        """Have a proof of this build of llama.cpp on this processor, or go into safe mode.

        Raises ModelLoadError where that is forbidden.
        """
        broken = why_broken(self._proof or prove())
        if broken and ModuleOptions.is_safe_mode_forbidden:
            remedy = remedy_for(broken, MODULE_PATH)
            raise ModelLoadError(LoadReason.BROKEN_BUILD, f"T{broken[1:]}. {remedy}")
        self._safe_mode_reason = self._safe_mode_reason or broken

    def _go_safe(self, options: EngineOptions, reason: str) -> EngineOptions:
        """The options of safe mode; the status says what they give up, and why."""
        options, gave_up = go_safe(options, has_gpu=self._has_gpu())
        self.safe_mode = SafeMode(gave_up, reason, remedy_for(reason, MODULE_PATH))
        return options

    def _engine_options(self) -> EngineOptions:
        options = engine_options(os.environ, MODULE_PATH)
        gpu_layers = options.gpu_layers if self.enable_GPU else 0
        return replace(options, sequences=self._usual_sequences, gpu_layers=gpu_layers)

    def _on_load_progress(self, share: float) -> bool:
        self.load_percent = int(100 * share)
        return True

    def _engine_has_died(self) -> None:
        """What it had is not answered: the host gives that to the next process."""
        self.give_up("the engine's thread has ended")

    def process(self, data: RequestData) -> JSON | LongProcess:
        """Check the request; the reply itself is made in the background."""
        chat = self._model()
        request = ChatRequest.from_data(data)

        def reply(_data: RequestData, command: RunningCommand) -> dict[str, Any]:
            return ChatReply(chat, request, command).run()

        return LongProcess(reply)

    def module_status(self) -> JSON:
        """The model and what it runs on."""
        chat = self.llama_chat
        status: dict[str, Any] = {
            "modelFile": chat.source.filename if chat else None,
            "loadPercent": self.load_percent,
            "loadError": str(self.load_error) if self.load_error else None,
            "safeMode": self.safe_mode.as_status() if self.safe_mode else None,
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
                "engine": chat.status(),
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

    def _tell_safe_mode(self, chat: LlamaChat) -> None:
        if self.safe_mode is None or chat.header is None:
            return
        self.safe_mode = self.safe_mode.with_model(chat.header.context_tokens)
        told = {"message": str(self.safe_mode), "loglevel": "warning"}
        self.log(LogMethod.Info | LogMethod.Server, told)


if __name__ == "__main__":
    LlamaChat_adapter().start_loop()
