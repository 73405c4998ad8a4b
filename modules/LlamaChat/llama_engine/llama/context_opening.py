"""A context over loaded weights, as planned, with its LoRA adapters.

Invariant: what is open is what the plan says; a length for which there was no memory is never tried
again.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable

import llama_cpp

from llama_engine import load_errors
from llama_engine.llama.context import Context
from llama_engine.llama.llama_log import LoadLog
from llama_engine.llama.model import Model
from llama_engine.load_errors import LoadReason, ModelLoadError
from llama_engine.machine import machine_limits
from llama_engine.options import CACHE_TYPES, FLASH_ATTENTION, EngineOptions
from llama_engine.plan.context_plan import LEAST_CONTEXT, ContextPlan

logger = logging.getLogger(__name__)

Replan = Callable[[int], ContextPlan]
"""A plan of so many tokens at most."""


def open_what_fits(
    model: Model, plan: ContextPlan, replan: Replan, options: EngineOptions, log: LoadLog
) -> tuple[Context, ContextPlan]:
    """Open the planned context; where nobody asked for its length, a shorter one if need be.

    Raises ModelLoadError.
    """
    is_free_to_choose = not (options.context_tokens or options.total_tokens)
    while True:
        try:
            return _open_context(model, plan, options, log), plan
        except ModelLoadError as ex:
            half = replan(plan.total_tokens // 2)
            can_shrink = LEAST_CONTEXT <= half.total_tokens < plan.total_tokens
            if ex.reason is not LoadReason.OUT_OF_MEMORY or not (is_free_to_choose and can_shrink):
                raise
        logger.warning(
            "No memory for a context of %d tokens: trying %d", plan.total_tokens, half.total_tokens
        )
        plan = half


def thread_counts(options: EngineOptions) -> tuple[int, int]:
    """Threads for steps of a few rows and for prompts."""
    threads = options.threads or machine_limits.usable_cores()
    return threads, options.batch_threads or threads


def _open_context(model: Model, plan: ContextPlan, options: EngineOptions, log: LoadLog) -> Context:
    """Open the planned context."""
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = plan.total_tokens
    params.n_batch = params.n_ubatch = options.batch_tokens
    params.n_seq_max = plan.sequences
    params.n_outputs_max = plan.sequences
    params.kv_unified = plan.is_shared
    params.n_threads, params.n_threads_batch = thread_counts(options)
    params.flash_attn_type = FLASH_ATTENTION[options.flash_attention]
    params.type_k = CACHE_TYPES[options.key_cache_type][0]
    params.type_v = CACHE_TYPES[options.value_cache_type][0]
    params.swa_full = options.full_window_cache
    params.no_perf = True
    said = len(log.errors)
    handle = llama_cpp.llama_init_from_model(model.handle, params)
    if not handle:
        raise load_errors.from_log(model.path, log.errors[said:])
    context = Context(handle, model, plan.sequences, plan.is_shared)
    try:
        _attach_loras(model, context, options)
    except BaseException:
        context.close()
        raise
    return context


def _attach_loras(model: Model, context: Context, options: EngineOptions) -> None:
    """Load the adapters; they are freed with the model."""
    if not options.loras:
        return
    count = len(options.loras)
    handles = (llama_cpp.llama_adapter_lora_p_ctypes * count)()
    scales = (ctypes.c_float * count)()
    for at, (path, scale) in enumerate(options.loras):
        handle = llama_cpp.llama_adapter_lora_init(model.handle, str(path).encode())
        if not handle:
            raise ModelLoadError(
                LoadReason.OTHER, f"LoRA adapter '{path}' does not load or does not fit the model"
            )
        handles[at] = ctypes.cast(handle, llama_cpp.llama_adapter_lora_p_ctypes)
        scales[at] = scale
    llama_cpp.llama_set_adapters_lora(context.handle, handles, count, scales)
