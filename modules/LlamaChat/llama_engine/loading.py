"""From a GGUF file to an engine that is ready.

Invariant: a failure at any point frees what was loaded before it and leaves as a `ModelLoadError`
with llama.cpp's own reason.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import llama_cpp
import load_errors
import machine_limits
from gguf_header import GgufHeader, read_header
from llama_log import LoadLog, device_of, load_log
from load_errors import LoadReason, ModelLoadError

from llama_engine.context import Context
from llama_engine.disk_cache import DiskCache, fingerprint
from llama_engine.engine import Engine, OnDeath
from llama_engine.facts import EngineFacts
from llama_engine.limits import (
    COMPUTE_BYTES,
    FREE_SHARE,
    LEAST_CONTEXT,
    CacheShape,
    ContextPlan,
    plan_context,
)
from llama_engine.model import Model
from llama_engine.options import CACHE_TYPES, FLASH_ATTENTION, SPLIT_MODES, EngineOptions

logger = logging.getLogger(__name__)

LoadProgress = Callable[[float], bool]
"""Called with 0.0 to 1.0 while weights are read; False gives up."""
_MOST_MEMORY_CACHE = 2 * 1024**3
_CPU_SEQUENCES, _GPU_SEQUENCES = 4, 8


@dataclass(frozen=True)
class LoadedEngine:
    """An engine, not yet started."""

    engine: Engine
    facts: EngineFacts


def load_engine(
    path: Path,
    options: EngineOptions,
    progress: LoadProgress | None = None,
    on_death: OnDeath | None = None,
) -> LoadedEngine:
    """Load weights, open a context, and set up an engine over them. Blocks for as long.

    Raises ModelLoadError, or ParameterError for options out of their range.
    """
    options.check()
    header = _read(path)
    on_gpu = has_gpu(options.gpu_layers != 0)
    free_bytes = None if on_gpu and sys.platform != "darwin" else _free_beside(header)
    sequences = options.sequences or default_sequences(on_gpu)
    plan = plan_context(
        options,
        sequences,
        header.context_tokens,
        _shape(header).cell_bytes(options),
        free_bytes,
    )
    with load_log() as log:
        model = _load_model(header, options, progress, log)
        try:
            context, plan = _open_what_fits(model, plan, options, log, _shape(header))
        except BaseException:
            model.close()
            raise
        device, library = device_of(log.buffers)
    threads, batch_threads = _threads(options)
    facts = EngineFacts(header, plan, device, library, threads, batch_threads)
    logger.info("%s on %s %s, %d threads: %s", path.name, device, library, threads, plan.reason)
    disk = _open_disk_cache(header, options, plan)
    engine = Engine(
        context,
        _sized(options),
        plan.sequence_tokens,
        disk,
        threads=threads if _may_choose_threads(options, device) else 0,
        on_death=on_death,
    )
    return LoadedEngine(engine, facts)


def _may_choose_threads(options: EngineOptions, device: str) -> bool:
    """Whether the engine may use less threads than there are cores: nobody set how many."""
    return device == "CPU" and not options.threads and not options.batch_threads


def has_gpu(is_wanted: bool) -> bool:
    """Whether llama.cpp was built for an accelerator, and it is wanted."""
    return is_wanted and bool(llama_cpp.llama_supports_gpu_offload())


def default_sequences(on_gpu: bool) -> int:
    """How many sequences an engine has unless it is told."""
    return _GPU_SEQUENCES if on_gpu else _CPU_SEQUENCES


def _read(path: Path) -> GgufHeader:
    try:
        return read_header(path)
    except OSError as ex:
        message = f"'{path}' cannot be read: {ex.strerror or ex}"
        raise ModelLoadError(LoadReason.OTHER, message, path) from ex


def _free_beside(header: GgufHeader) -> float:
    """Bytes that stay free beside the weights. Raises ModelLoadError if those do not fit."""
    free = machine_limits.available_memory_bytes()
    if header.file_bytes > free:
        gib = 1024**3
        raise load_errors.out_of_memory(
            header.path,
            f"its weights take {header.file_bytes / gib:.1f} GiB, {free / gib:.1f} GiB are free",
        )
    return free - header.file_bytes


def _shape(header: GgufHeader) -> CacheShape:
    """KV values of a cell, over all layers."""
    layers, heads = header.number("block_count"), header.number("attention.head_count")
    if not layers or not heads:
        return CacheShape(0, 0)
    size = header.number("embedding_length") // heads
    per_layer = header.per_layer("attention.head_count_kv")
    kv_heads = sum(per_layer or []) or layers * header.number("attention.head_count_kv", heads)
    return CacheShape(
        kv_heads * header.number("attention.key_length", size),
        kv_heads * header.number("attention.value_length", size),
    )


def _load_model(
    header: GgufHeader, options: EngineOptions, progress: LoadProgress | None, log: LoadLog
) -> Model:
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = options.gpu_layers
    no_devices = (ctypes.c_void_p * 1)()  # a list that ends at once
    if not options.gpu_layers:  # else a GPU would still compute large batches
        params.devices = ctypes.addressof(no_devices)
    params.use_extra_bufts = options.extra_buffers
    params.main_gpu = options.main_gpu
    params.split_mode = SPLIT_MODES[options.split_mode]
    shares = (ctypes.c_float * llama_cpp.llama_max_devices())(*options.tensor_split)
    if options.tensor_split:
        params.tensor_split = shares
    callback = llama_cpp.llama_progress_callback(_reporter(progress))
    params.progress_callback = callback
    handle = llama_cpp.llama_model_load_from_file(str(header.path).encode(), params)
    if not handle:
        raise load_errors.from_log(header.path, log.errors)
    return Model(handle, header.path)


def _reporter(progress: LoadProgress | None) -> Callable[[float, Any], bool]:
    def report(share: float, _user_data: Any) -> bool:
        return progress is None or bool(progress(share))

    return report


def _open_what_fits(
    model: Model, plan: ContextPlan, options: EngineOptions, log: LoadLog, shape: CacheShape
) -> tuple[Context, ContextPlan]:
    """Open the planned context; where nobody asked for its length, a shorter one if need be.

    The memory of an accelerator is asked by trying.
    """
    is_free_to_choose = not (options.context_tokens or options.total_tokens)
    while True:
        try:
            return _open_context(model, plan, options, log)
        except ModelLoadError as ex:
            can_shrink = is_free_to_choose and plan.total_tokens >= 2 * LEAST_CONTEXT
            if ex.reason is not LoadReason.OUT_OF_MEMORY or not can_shrink:
                raise
        half_bytes = plan.total_tokens * shape.cell_bytes(options) / 2
        free_bytes = half_bytes / FREE_SHARE + COMPUTE_BYTES
        logger.warning("No memory for a context of %d tokens: trying half", plan.total_tokens)
        plan = plan_context(
            options, plan.sequences, model.train_tokens, shape.cell_bytes(options), free_bytes
        )


def _open_context(
    model: Model, plan: ContextPlan, options: EngineOptions, log: LoadLog
) -> tuple[Context, ContextPlan]:
    """Open the planned context."""
    is_shared = plan.is_shared and not model.is_recurrent
    threads, batch_threads = _threads(options)
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = plan.total_tokens
    params.n_batch = params.n_ubatch = options.batch_tokens
    params.n_seq_max = plan.sequences
    params.n_outputs_max = plan.sequences
    params.kv_unified = is_shared
    params.n_threads, params.n_threads_batch = threads, batch_threads
    params.flash_attn_type = FLASH_ATTENTION[options.flash_attention]
    params.type_k = CACHE_TYPES[options.key_cache_type][0]
    params.type_v = CACHE_TYPES[options.value_cache_type][0]
    params.swa_full = options.full_window_cache
    params.no_perf = True
    handle = llama_cpp.llama_init_from_model(model.handle, params)
    if not handle:
        raise load_errors.from_log(model.path, log.errors)
    context = Context(handle, model, plan.sequences, is_shared)
    try:
        _attach_loras(model, context, options)
    except BaseException:
        context.close()
        raise
    return context, plan


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


def _sized(options: EngineOptions) -> EngineOptions:
    """The options with the size of the memory cache decided."""
    if options.memory_cache_bytes >= 0:
        return options
    tenth = machine_limits.available_memory_bytes() // 10
    return replace(options, memory_cache_bytes=min(tenth, _MOST_MEMORY_CACHE))


def _open_disk_cache(
    header: GgufHeader, options: EngineOptions, plan: ContextPlan
) -> DiskCache | None:
    """The disk cache, if one is wanted and can be had; it is nothing to fail for."""
    if options.disk_cache_directory is None or not options.disk_cache_bytes:
        return None
    setup = (
        llama_cpp.llama_version(), plan.sequences, plan.is_shared, options.key_cache_type,
        options.value_cache_type, options.flash_attention, options.loras,
        options.full_window_cache,
    )  # fmt: skip
    key = fingerprint(header.path, *setup)
    disk = DiskCache(options.disk_cache_directory, options.disk_cache_bytes, key)
    try:
        disk.open()
    except OSError as ex:
        logger.warning("No prefixes are kept on disk: %s", ex)
        return None
    return disk


def _threads(options: EngineOptions) -> tuple[int, int]:
    """Threads for steps of a few rows and for prompts."""
    threads = options.threads or machine_limits.usable_cores()
    return threads, options.batch_threads or threads
