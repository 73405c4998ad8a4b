"""Weights from a GGUF file into memory, with as many layers on accelerators as really fit.

Invariant: what fails for want of memory is never tried again with as many layers.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llama_cpp

from llama_engine import load_errors
from llama_engine.gguf.header import GgufHeader
from llama_engine.llama.llama_log import LoadLog
from llama_engine.llama.model import Model
from llama_engine.load_errors import LoadReason, ModelLoadError
from llama_engine.options import SPLIT_MODES, EngineOptions
from llama_engine.plan.placement import Placement

logger = logging.getLogger(__name__)

LoadProgress = Callable[[float], bool]
"""Called with 0.0 to 1.0 while weights are read; False gives up."""
_FEWER = 0.75
"""After a failure, no more than this share of the layers that were tried."""


@dataclass(frozen=True)
class WeightSource:
    """What to load, and who is told how far it is."""

    header: GgufHeader
    options: EngineOptions
    progress: LoadProgress | None
    log: LoadLog


def load_weights(source: WeightSource, placements: list[Placement]) -> tuple[Model, Placement]:
    """Load with the first of the placements that works. Raises ModelLoadError."""
    while True:
        placement, rest = placements[0], placements[1:]
        placements = [each for each in rest if each.gpu_layers <= _FEWER * placement.gpu_layers]
        try:
            return _load(source, placement.gpu_layers), placement
        except ModelLoadError as ex:
            if ex.reason is not LoadReason.OUT_OF_MEMORY or not placements:
                raise
        logger.warning(
            "No memory for %d layers on the accelerator: trying %d",
            placement.gpu_layers,
            placements[0].gpu_layers,
        )


def _load(source: WeightSource, gpu_layers: int) -> Model:
    header, options = source.header, source.options
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = gpu_layers
    no_devices = (ctypes.c_void_p * 1)()  # a list that ends at once
    if not options.gpu_layers:  # else a GPU would still compute large batches
        params.devices = ctypes.addressof(no_devices)
    params.use_extra_bufts = options.extra_buffers
    params.main_gpu = options.main_gpu
    params.split_mode = SPLIT_MODES[options.split_mode]
    shares = (ctypes.c_float * llama_cpp.llama_max_devices())(*options.tensor_split)
    if options.tensor_split:
        params.tensor_split = shares
    callback = llama_cpp.llama_progress_callback(_reporter(source.progress))
    params.progress_callback = callback
    source.log.clear()
    handle = llama_cpp.llama_model_load_from_file(str(header.path).encode(), params)
    if not handle:
        raise load_errors.from_log(header.path, source.log.errors)
    return Model(handle, header.path)


def _reporter(progress: LoadProgress | None) -> Callable[[float, Any], bool]:
    def report(share: float, _user_data: Any) -> bool:
        return progress is None or bool(progress(share))

    return report
