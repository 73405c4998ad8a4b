"""Models that llama.cpp loads and that cannot write a reply: told by what their header says.

Invariant: a refusal says what the file is and what to choose instead; what the header does not
tell, the loaded model does.
"""

from __future__ import annotations

from llama_engine import load_errors
from llama_engine.gguf.header import GgufHeader
from llama_engine.load_errors import ModelLoadError

_ENCODERS = frozenset((
    "bert", "nomic-bert", "nomic-bert-moe", "modern-bert", "neo-bert", "jina-bert-v2",
    "jina-bert-v3", "eurobert", "t5encoder", "gemma-embedding", "llama-embed",
))  # fmt: skip
_PARTS = {"clip": "it is the part of another model that sees or hears (mmproj)",
          "wavtokenizer-dec": "it makes sound"}  # fmt: skip
_RANKING = 4
"""llama.cpp's `enum llama_pooling_type`: 0 is none, 4 ranks, and what is between sums up."""


def refuse_unless_chat(header: GgufHeader) -> None:
    """Raise ModelLoadError (NOT_CHAT) for a model that is known not to write text."""
    detail = _reason(header)
    if detail:
        raise not_chat(header, detail)


def not_chat(header: GgufHeader, detail: str) -> ModelLoadError:
    """The refusal, with the architecture."""
    return load_errors.not_chat(header.path, f"{detail} (architecture '{header.architecture}')")


def _reason(header: GgufHeader) -> str | None:
    if header.metadata.get("general.type") == "adapter":
        return "it is a LoRA adapter: name it in CPAI_MODULE_LLAMA_LORAS beside its model"
    if header.architecture in _PARTS:
        return _PARTS[header.architecture]
    is_causal = header.metadata.get(f"{header.architecture}.attention.causal", True)
    pooling = header.number("pooling_type")
    if pooling == _RANKING:
        return "it is a reranker, which only scores texts"
    if header.architecture in _ENCODERS or pooling or not is_causal:
        return "it is an embedding or encoder model, which turns texts into numbers"
    return None
