"""Safe mode: the model is loaded without what a broken build or driver is likely to die of.

Invariant: `go_safe` only takes away; a setting that is smaller than safe mode's own stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llama_engine.options import CACHE_TYPES, EngineOptions
from llama_setup.install_again import install_again

MARK = "CPAI_MODULE_SAFE_MODE"
"""Names the reason where no host, but a person asked for it."""
CONTEXT_TOKENS = 2048
"""Of the context in safe mode, prompt and reply together."""
_LONG_CONTEXT = f"a context of more than {CONTEXT_TOKENS} tokens"
_MEMORY_KILL = "SIGKILL"
_RESTART = "`llamachat restart LlamaChat`"


@dataclass(frozen=True)
class SafeMode:
    """What was given up, why, and what repairs it; in words."""

    gave_up: tuple[str, ...]
    reason: str
    remedy: str

    def with_model(self, context_tokens: int) -> SafeMode:
        """The same for a model whose own context is that long: a short one lost nothing of it."""
        if context_tokens > CONTEXT_TOKENS:
            return self
        return replace(self, gave_up=tuple(one for one in self.gave_up if one != _LONG_CONTEXT))

    def as_status(self) -> dict[str, Any]:
        """For the module's status; its host shows it wherever it shows the module."""
        return {"gaveUp": list(self.gave_up), "reason": self.reason, "remedy": self.remedy}

    def __str__(self) -> str:
        return f"Safe mode, without {', '.join(self.gave_up)}: {self.reason}. {self.remedy}"


def go_safe(options: EngineOptions, *, has_gpu: bool) -> tuple[EngineOptions, tuple[str, ...]]:
    """The options of safe mode, and what they give up of those given."""
    longest = options.context_tokens or options.total_tokens or CONTEXT_TOKENS + 1
    is_packed = CACHE_TYPES[options.value_cache_type][1] < 2
    given_up = {
        "extra buffer types": options.extra_buffers,
        "flash attention": options.flash_attention != "off",
        "the packed value cache, which needs flash attention": is_packed,
        "the GPU": has_gpu and options.gpu_layers != 0,
        "several replies at once": options.sequences != 1,
        _LONG_CONTEXT: longest > CONTEXT_TOKENS,
    }
    safe = replace(
        options,
        extra_buffers=False,
        flash_attention="off",
        value_cache_type="f16" if is_packed else options.value_cache_type,
        gpu_layers=0,
        sequences=1,
        context_tokens=min(options.context_tokens, CONTEXT_TOKENS),
        total_tokens=min(options.total_tokens or CONTEXT_TOKENS, CONTEXT_TOKENS),
    )
    return safe, tuple(what for what, is_given_up in given_up.items() if is_given_up)


def remedy_for(reason: str, module_path: Path) -> str:
    """What somebody who reads the reason is to do about it."""
    if MARK in reason:
        return f"Unset {MARK} and start llamachat again to leave it"
    if _MEMORY_KILL in reason:
        return (
            f"Free memory, or choose a smaller model, and run {_RESTART}; or set a smaller "
            "CPAI_MODULE_LLAMA_CONTEXT_TOKENS and start llamachat again. `llamachat doctor` says "
            "what fits"
        )
    return (
        f"{install_again(module_path)}: it proves the build of llama.cpp and replaces one that "
        f"fails. Then run {_RESTART}. `llamachat doctor` says more"
    )
