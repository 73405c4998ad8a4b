"""Layers on accelerators, by what those have free. The accelerators are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_engine.errors import ParameterError
from llama_engine.load_errors import LoadReason, ModelLoadError
from llama_engine.machine.devices import Device
from llama_engine.options import EngineOptions
from llama_engine.plan.context_plan import COMPUTE_BYTES
from llama_engine.plan.placement import MARGIN_BYTES, Machine, Need, Placement, place_layers

GIB = 1024**3
NEED = Need((0.25 * GIB,) * 32 + (0.5 * GIB,), (4_000.0,) * 32 + (0.0,), 0.5 * GIB)
"""A model of 8.5 GiB of layers, half a GiB of embeddings, 128 kB for each cell."""


def gpu(free_gib: float, name: str = "CUDA0", **more: Any) -> Device:
    return Device(name, int(free_gib * GIB), 24 * GIB, **more)


def place(
    *devices: Device, host_gib: float = 64, cells: int = 512, need: Need = NEED, **options: Any
) -> list[Placement]:
    machine = Machine(host_gib * GIB, devices)
    return place_layers(Path("m.gguf"), need, machine, EngineOptions(**options), (cells,))


def test_all_layers_where_they_fit() -> None:
    best = place(gpu(12))[0]
    assert best.gpu_layers == 33
    assert best.layers() == {"CPU": 0, "CUDA0": 33}
    assert str(best) == "33 of 33 layers on CUDA0"


def test_layers_step_down_until_they_fit_with_the_margin() -> None:
    best = place(gpu(8))[0]
    assert best.layers() == {"CPU": 7, "CUDA0": 26}
    assert best.weights(1) + 512 * 25 * 4_000 + COMPUTE_BYTES <= 8 * GIB - MARGIN_BYTES
    assert best.weights(0) == 2.25 * GIB
    assert str(best) == "7 of 33 layers on CPU, 26 of 33 layers on CUDA0"


def test_what_must_fit_beside_takes_layers_from_the_card() -> None:
    assert place(gpu(8), cells=16_000)[0].gpu_layers < 26


def test_the_cache_gets_what_is_left_of_both_and_no_last_byte() -> None:
    device, memory = sorted(place(gpu(8))[0].rooms(NEED.cell_bytes), key=lambda room: room.name)
    assert (device.name, memory.name) == ("CUDA0", "memory")
    assert device.free_bytes == 8 * GIB - MARGIN_BYTES - 6.75 * GIB
    assert memory.free_bytes == 64 * GIB - 2.25 * GIB
    assert (device.cell_bytes, memory.cell_bytes) == (25 * 4_000, 7 * 4_000)


def test_a_card_without_room_for_a_layer_is_left_alone() -> None:
    assert place(gpu(1.2))[0].layers() == {"CPU": 33, "CUDA0": 0}


def test_partial_offload_counts_the_machine_s_memory() -> None:
    assert place(gpu(8), host_gib=3)[0].gpu_layers == 26
    with pytest.raises(ModelLoadError, match=r"8\.00 GiB of CUDA0 are free, of which 1") as caught:
        place(gpu(8), host_gib=1)
    assert caught.value.reason is LoadReason.OUT_OF_MEMORY
    assert (
        "with all layers on the CPU its weights take 9.00 GiB, 1.00 GiB of memory are free"
        in str(caught.value)
    )


def test_two_cards_share_by_what_they_have_free_or_as_set() -> None:
    first, second = gpu(12), gpu(4, "CUDA1")
    assert place(first, second)[0].layers() == {"CPU": 0, "CUDA0": 25, "CUDA1": 8}
    even = place(first, gpu(12, "CUDA1"), tensor_split=(1.0, 1.0))[0]
    assert even.layers() == {"CPU": 0, "CUDA0": 17, "CUDA1": 16}
    alone = place(first, second, split_mode="none", main_gpu=1)[0]
    assert alone.layers() == {"CPU": 23, "CUDA1": 10}


def test_a_card_that_is_not_there_cannot_be_the_main_one() -> None:
    with pytest.raises(ParameterError, match="main_gpu: expected 0 to 1, got 2"):
        place(gpu(12), gpu(12), split_mode="none", main_gpu=2)


def test_a_number_that_was_set_is_kept_or_refused() -> None:
    assert [each.gpu_layers for each in place(gpu(8), gpu_layers=10)] == [10]
    assert place(gpu(8), gpu_layers=0)[0].layers() == {"CPU": 33}
    with pytest.raises(ModelLoadError, match=r"30 layers take .* CPAI_MODULE_LLAMA_GPU_LAYERS"):
        place(gpu(8), gpu_layers=30)


def test_a_card_that_says_nothing_is_tried() -> None:
    assert place(Device("GPU", 0, 0))[0].gpu_layers == 33


def test_a_device_in_the_machine_s_own_memory_counts_there() -> None:
    shared = gpu(12, "MTL0", shares_memory=True)
    (room,) = [room for room in place(shared, host_gib=10)[0].rooms(NEED.cell_bytes)
               if room.name == "memory"]  # fmt: skip
    assert room.free_bytes == 1 * GIB
    with pytest.raises(ModelLoadError):
        place(shared, host_gib=8)


def test_embeddings_that_are_the_output_too_are_on_the_card_as_well() -> None:
    need = Need(NEED.layer_bytes, NEED.cell_bytes, 0.5 * GIB, tied_bytes=0.5 * GIB)
    assert place(gpu(12), need=need)[0].weights(1) == 9 * GIB
    assert place(gpu(12), need=need)[0].weights(0) == 0.5 * GIB


def test_each_placement_has_less_on_the_card_than_the_one_before() -> None:
    counts = [each.gpu_layers for each in place(gpu(8))]
    assert counts == list(range(26, -1, -1))
