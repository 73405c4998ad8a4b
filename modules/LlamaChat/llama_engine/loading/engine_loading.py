"""From a GGUF file to an engine that is ready.

Invariant: a failure at any point frees what was loaded before it and leaves as a `ModelLoadError`
with llama.cpp's own reason. What does not fit is refused before anything is allocated, as far as
the header tells.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from llama_engine.gguf import not_chat
from llama_engine.gguf.header import GgufHeader, read_header
from llama_engine.llama.backend import has_gpu, library_version, start_backend
from llama_engine.llama.context import Context
from llama_engine.llama.context_opening import open_what_fits, thread_counts
from llama_engine.llama.llama_log import LoadLog, device_of, load_log
from llama_engine.llama.model import Model
from llama_engine.llama.weights import LoadProgress, WeightSource, load_weights
from llama_engine.load_errors import LoadReason, ModelLoadError
from llama_engine.loading.facts import EngineFacts
from llama_engine.machine import devices, machine_limits
from llama_engine.memory.disk_cache import DiskCache, fingerprint
from llama_engine.options import EngineOptions
from llama_engine.plan.cache_shape import CacheShape, shape_in_header, state_bytes
from llama_engine.plan.context_plan import LEAST_CONTEXT, ContextPlan, plan_context
from llama_engine.plan.placement import Machine, Placement, need_of, place_layers
from llama_engine.schedule.engine import Engine, OnDeath

logger = logging.getLogger(__name__)

_MOST_MEMORY_CACHE = 2 * 1024**3
_CPU_SEQUENCES, _GPU_SEQUENCES = 4, 8
_DECENT_TOKENS = 8_192
"""Rather fewer layers on an accelerator than less context, if nobody asked for a length."""


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
    start_backend()
    header = _read(path)
    not_chat.refuse_unless_chat(header)
    on_gpu = has_gpu(options.gpu_layers != 0)
    options = replace(options, sequences=options.sequences or default_sequences(on_gpu))
    shape = shape_in_header(header)
    placements = _placements(header, shape, options, on_gpu)
    if shape is not None:  # what is too large is refused before hours of reading
        _plan(options, header.context_tokens, placements[0], shape)
    with load_log() as log:
        model, placement = load_weights(WeightSource(header, options, progress, log), placements)
        try:
            _refuse_what_cannot_chat(header, model)
            context, plan = _open(model, options, placement, shape or model.cache_shape(), log)
        except BaseException:
            model.close()
            raise
        device, library = device_of(log.buffers)
    threads, _ = thread_counts(options)
    layers = placement.layers()
    facts = EngineFacts(header, plan, device, library, threads, layers)
    logger.info("%s on %s %s, %d threads: %s", path.name, device, library, threads, plan.reason)
    logger.info("%s", placement)
    engine = Engine(
        context,
        _sized(options),
        plan.sequence_tokens,
        _open_disk_cache(header, options, plan),
        threads=threads if _may_choose_threads(options, device) else 0,
        on_death=on_death,
    )
    return LoadedEngine(engine, facts)


def _refuse_what_cannot_chat(header: GgufHeader, model: Model) -> None:
    """Refuse what only llama.cpp knows not to write text. Raises ModelLoadError."""
    detail = model.why_not_chat()
    if detail:
        raise not_chat.not_chat(header, detail)


def _placements(
    header: GgufHeader, shape: CacheShape | None, options: EngineOptions, on_gpu: bool
) -> list[Placement]:
    """Where the layers may lie, best first. Raises ModelLoadError."""
    found = tuple(devices.accelerators()) if on_gpu else ()
    if on_gpu and not found:  # nobody can tell: try
        found = (devices.Device("GPU", 0, 0),)
    free_bytes, name = machine_limits.available_memory_bytes(), machine_limits.memory_name()
    machine = Machine(free_bytes, found, name)
    states = state_bytes(header) * options.sequences
    need = need_of(header, shape.layer_bytes(options) if shape else [], states)
    asked = max(options.context_tokens, options.total_tokens)
    whole = (header.context_tokens or LEAST_CONTEXT) * options.sequences
    cells = (asked,) if asked else (min(whole, _DECENT_TOKENS), LEAST_CONTEXT)
    return place_layers(header.path, need, machine, options, cells)


def _open(
    model: Model, options: EngineOptions, placement: Placement, shape: CacheShape, log: LoadLog
) -> tuple[Context, ContextPlan]:
    """Open the context that is right for the model as llama.cpp knows it."""

    def replan(most_tokens: int | None) -> ContextPlan:
        can_share = not model.is_recurrent
        return _plan(options, model.train_tokens, placement, shape, can_share, most_tokens)

    return open_what_fits(model, replan(None), replan, options, log)


def _plan(
    options: EngineOptions,
    train_tokens: int,
    placement: Placement,
    shape: CacheShape,
    can_share: bool = True,
    most_tokens: int | None = None,
) -> ContextPlan:
    rooms = placement.rooms(shape.layer_bytes(options))
    return plan_context(
        options,
        options.sequences,
        train_tokens,
        rooms,
        can_share=can_share,
        most_tokens=most_tokens,
    )


def _may_choose_threads(options: EngineOptions, device: str) -> bool:
    """Whether the engine may use less threads than there are cores: nobody set how many."""
    return device == "CPU" and not options.threads and not options.batch_threads


def default_sequences(on_gpu: bool) -> int:
    """How many sequences an engine has unless it is told."""
    return _GPU_SEQUENCES if on_gpu else _CPU_SEQUENCES


def _read(path: Path) -> GgufHeader:
    try:
        return read_header(path)
    except OSError as ex:
        message = f"'{path}' cannot be read: {ex.strerror or ex}"
        raise ModelLoadError(LoadReason.OTHER, message, path) from ex


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
        library_version(), plan.sequences, plan.is_shared, options.key_cache_type,
        options.value_cache_type, options.flash_attention, options.full_window_cache,
        *((fingerprint(path), path.stat().st_mtime_ns, scale) for path, scale in options.loras),
    )  # fmt: skip
    key = fingerprint(header.path, *setup)
    disk = DiskCache(options.disk_cache_directory, options.disk_cache_bytes, key)
    try:
        disk.open()
    except OSError as ex:
        logger.warning("No prefixes are kept on disk: %s", ex)
        return None
    return disk
