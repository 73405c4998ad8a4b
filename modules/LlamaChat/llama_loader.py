"""Load a GGUF with llama-cpp-python, or say why not.

Invariant: every failure leaves as a `ModelLoadError`, and what can be known before a byte is
allocated (not a GGUF, cut short, too big) is known before. Only one load runs at a time, since
llama.cpp has one log.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import llama_cpp
import load_errors
import memory_plan
from chat_backend import ModelFacts
from gguf_header import GgufHeader, read_header
from llama_log import load_log
from load_errors import LoadReason, ModelLoadError
from load_options import LoadOptions

logger = logging.getLogger(__name__)

_ACCELERATORS = {
    "CUDA": "CUDA", "ROCm": "ROCm", "HIP": "ROCm", "Vulkan": "Vulkan", "Metal": "Metal",
    "MTL": "Metal", "SYCL": "SYCL", "OpenCL": "OpenCL", "MUSA": "MUSA", "CANN": "CANN",
}  # fmt: skip
"""How llama.cpp names the buffers of a device, and what users call its library."""
_FEWEST_TOKENS = 2 * memory_plan.SMALLEST_CONTEXT_TOKENS

_load_lock = threading.Lock()


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to answer."""

    llama: llama_cpp.Llama
    header: GgufHeader
    facts: ModelFacts


def load_model(path: Path, options: LoadOptions) -> LoadedModel:
    """Load weights and open a context. Blocks for as long as that takes.

    Raises ModelLoadError.
    """
    try:
        header = read_header(path)
    except OSError as ex:
        message = f"'{path}' cannot be read: {ex.strerror or ex}"
        raise ModelLoadError(LoadReason.OTHER, message, path) from ex
    with _load_lock:
        context_tokens = _plan(header, options)
        while True:
            try:
                return _load(header, context_tokens, options)
            except ModelLoadError as ex:
                if not _is_worth_less(ex, context_tokens, options):
                    raise
            context_tokens //= 2
            logger.warning("No memory for that context: trying %d tokens", context_tokens)


def _plan(header: GgufHeader, options: LoadOptions) -> int:
    """The context to open; an accelerator with memory of its own is asked by trying."""
    has_own_memory = llama_cpp.llama_supports_gpu_offload() and sys.platform != "darwin"
    if options.gpu_layers != 0 and has_own_memory:
        tokens = options.context_tokens or header.context_tokens or _FEWEST_TOKENS
    else:
        free = memory_plan.available_memory_bytes()
        tokens = memory_plan.plan_context(header, options.context_tokens, free)
    logger.info(
        "%s: context of %d tokens (the model's own: %d), KV cache about %d MiB",
        header.path.name,
        tokens,
        header.context_tokens,
        tokens * memory_plan.kv_bytes_per_token(header) // 1024**2,
    )
    return tokens


def _is_worth_less(ex: ModelLoadError, context_tokens: int, options: LoadOptions) -> bool:
    """Whether a shorter context may help: only where nobody asked for this length."""
    is_free_to_choose = options.context_tokens == 0 and context_tokens > _FEWEST_TOKENS
    return ex.reason is LoadReason.OUT_OF_MEMORY and is_free_to_choose


def _load(header: GgufHeader, context_tokens: int, options: LoadOptions) -> LoadedModel:
    threads = options.threads or memory_plan.physical_cores()
    with load_log() as log:
        try:
            llama = llama_cpp.Llama(
                str(header.path),
                n_ctx=context_tokens,
                n_gpu_layers=options.gpu_layers,
                n_threads=threads,
                n_threads_batch=threads,
                verbose=options.verbose,
            )
        except MemoryError as ex:
            raise load_errors.out_of_memory(header.path, str(ex) or "allocation failed") from ex
        except (ValueError, RuntimeError, OSError, AssertionError) as ex:
            raise load_errors.from_log(header.path, log.errors or [str(ex)]) from ex
        device, library = device_of(log.buffers)
    facts = ModelFacts(llama.n_ctx(), device, library)
    logger.info("Loaded %s on %s %s with %d threads", header.path, device, library, threads)
    return LoadedModel(llama, header, facts)


def device_of(buffers: Iterable[str]) -> tuple[str, str]:
    """(`GPU`|`CPU`, library) by the names of the buffers that hold weights."""
    for buffer in buffers:
        name = re.split(r"[\d_]", buffer, maxsplit=1)[0]
        if name in _ACCELERATORS and not buffer.endswith("_Host"):
            return "GPU", _ACCELERATORS[name]
    return "CPU", ""
