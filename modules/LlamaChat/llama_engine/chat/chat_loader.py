"""The engine as what `LlamaChat` has behind it.

Invariant: the engine runs when the loader returns, and whoever closes the backend ends it.
"""

from __future__ import annotations

from pathlib import Path

from llama_engine.chat.chat_template import ChatTemplate
from llama_engine.chat.engine_chat import EngineChat
from llama_engine.gguf.header import GgufHeader
from llama_engine.llama.weights import LoadProgress
from llama_engine.loading.engine_loading import LoadedEngine, load_engine
from llama_engine.options import EngineOptions
from llama_engine.schedule.engine import OnDeath


def load_chat(
    path: Path,
    options: EngineOptions,
    progress: LoadProgress | None = None,
    on_death: OnDeath | None = None,
) -> tuple[EngineChat, GgufHeader]:
    """Load a file and start its engine. Raises ModelLoadError, ParameterError.

    `progress` is called with 0.0 to 1.0 while weights are read, `on_death` should the engine's
    thread end by itself.
    """
    loaded = load_engine(path, options, progress, on_death)
    loaded.engine.start()
    return chat_over(loaded), loaded.facts.header


def chat_over(loaded: LoadedEngine) -> EngineChat:
    """Conversations on a loaded engine, with the model's own chat templates."""
    model = loaded.engine.model
    template = ChatTemplate(
        model.chat_templates(), model.bos_text, model.eos_text, add_bos=model.adds_bos
    )
    return EngineChat(loaded.engine, template, loaded.facts)
