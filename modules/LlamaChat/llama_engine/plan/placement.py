"""Which layers lie on which accelerator, and which in the machine's memory.

Invariant: decided before anything is allocated, in the way in which llama.cpp will do it; every
accelerator keeps `MARGIN_BYTES` free beside weights, cells and compute buffers. Where nobody set
the number of layers there are as many as fit; a number that was set and does not fit is refused
with the figures.

llama.cpp counts what follows the last layer (the output) as one layer more, and so do we.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llama_engine import load_errors
from llama_engine.gguf.header import GgufHeader
from llama_engine.load_errors import ModelLoadError
from llama_engine.machine.devices import Device
from llama_engine.options import EngineOptions, within
from llama_engine.plan.context_plan import COMPUTE_BYTES, FREE_SHARE, Room

MARGIN_BYTES = 1024**3
"""What stays free on every accelerator: for other programs, and for what nobody can foresee."""
HOST = "CPU"
_GIB = 1024**3


@dataclass(frozen=True)
class Need:
    """What a model needs, layer by layer, the output as the last one."""

    layer_bytes: tuple[float, ...]
    """Weights, and the states of all sequences."""
    cell_bytes: tuple[float, ...]
    """One KV cell."""
    input_bytes: float
    """Weights that always stay in the machine's memory."""
    tied_bytes: float = 0.0
    """Of those, what an accelerator has a copy of if the output lies there."""


@dataclass(frozen=True)
class Machine:
    """What is free, in bytes; an accelerator of which nobody knows has infinitely much."""

    host_bytes: float
    devices: tuple[Device, ...] = ()
    host_name: str = "memory"


@dataclass(frozen=True)
class Placement:
    """Where each layer lies: 0 is the machine's memory, 1 the first accelerator, and so on."""

    places: tuple[int, ...]
    machine: Machine
    need: Need

    @property
    def gpu_layers(self) -> int:
        """As llama.cpp's setting of that name counts."""
        return sum(place > 0 for place in self.places)

    def layers(self) -> dict[str, int]:
        """How many are where."""
        names = [HOST, *(device.name for device in self.machine.devices)]
        return {name: self.places.count(at) for at, name in enumerate(names)}

    def weights(self, place: int) -> float:
        """Bytes that lie there whatever the context's length."""
        own = _at(self.places, self.need.layer_bytes, place)
        if not place:
            return own + self.need.input_bytes
        return own + (self.need.tied_bytes if self.places[-1] == place else 0.0)

    def rooms(self, cell_bytes: Sequence[float]) -> list[Room]:
        """What is left for KV cells of these sizes, in each place that has some."""
        name, cells = self.machine.host_name, self._host_cells(cell_bytes)
        rooms = [Room(name, self._host_left(), cells, FREE_SHARE)]
        for at, device in enumerate(self.machine.devices, start=1):
            left = _usable(device) - self.weights(at)
            rooms.append(Room(device.name, left, _at(self.places, cell_bytes, at), 1.0))
        return [room for room in rooms if room.cell_bytes]

    def lacks(self, cells: int) -> str | None:
        """What does not fit beside so many cells, with the figures; None where all does."""
        for at, device in enumerate(self.machine.devices, start=1):
            own = self.weights(at) + cells * _at(self.places, self.need.cell_bytes, at)
            if own and own + COMPUTE_BYTES > _usable(device):
                return _does_not_fit(
                    f"{self.places.count(at)} layers",
                    own,
                    device.free_bytes,
                    device.name,
                    f", of which {MARGIN_BYTES / _GIB:.0f} GiB is kept back",
                )
        own = self.machine.host_bytes - self._host_left()
        beside = cells * self._host_cells(self.need.cell_bytes) + (COMPUTE_BYTES if cells else 0)
        if own + beside > self.machine.host_bytes:
            what = "weights that stay in memory" if self.gpu_layers else "its weights"
            return _does_not_fit(what, own, self.machine.host_bytes, self.machine.host_name)
        return None

    def _shared(self) -> list[int]:
        """The places that take the machine's memory."""
        devices = enumerate(self.machine.devices, start=1)
        return [0, *(at for at, device in devices if device.shares_memory)]

    def _host_left(self) -> float:
        return self.machine.host_bytes - sum(self.weights(at) for at in self._shared())

    def _host_cells(self, cell_bytes: Sequence[float]) -> float:
        return sum(_at(self.places, cell_bytes, at) for at in self._shared())

    def __str__(self) -> str:
        total = len(self.places)
        parts = [f"{count} of {total} layers on {name}" for name, count in self.layers().items()]
        return ", ".join(part for part in parts if not part.startswith("0 "))


def need_of(header: GgufHeader, cell_bytes: Sequence[float], state_bytes: float) -> Need:
    """From the header; `state_bytes` is what all sequences' states take in each layer."""
    weights = header.weights
    cells = [*cell_bytes, *itertools.repeat(0.0, len(weights.layers))][: len(weights.layers)]
    return Need(
        (*(size + state_bytes for size in weights.layers), weights.output),
        (*cells, 0.0),
        weights.input,
        weights.tied,
    )


def place_layers(
    path: Path, need: Need, machine: Machine, options: EngineOptions, cells: Sequence[int]
) -> list[Placement]:
    """The placements that fit, best first, each with less layers on accelerators than the last.

    `cells` are numbers of KV cells that should fit beside the weights, most wanted first. Raises
    ModelLoadError (OUT_OF_MEMORY) where not even the weights do, ParameterError for an accelerator
    that is not there.
    """
    total = len(need.layer_bytes)
    machine = replace(machine, devices=_chosen(machine.devices, options))
    most = total if options.gpu_layers < 0 else min(options.gpu_layers, total)
    is_free_to_choose = options.gpu_layers < 0 and machine.devices
    counts = range(most, -1, -1) if is_free_to_choose else [most if machine.devices else 0]
    tried = [_place(need, machine, options, count) for count in counts]
    for wanted in (*cells, 0):
        fitting = [placement for placement in tried if placement.lacks(wanted) is None]
        if fitting:
            return fitting
    raise _no_room(path, tried[0], tried[-1])


def _no_room(path: Path, wanted: Placement, last: Placement) -> ModelLoadError:
    detail = wanted.lacks(0) or ""
    if wanted is not last:
        detail += f"; and with all layers on the CPU {last.lacks(0)}"
    elif wanted.gpu_layers:
        detail += ". CPAI_MODULE_LLAMA_GPU_LAYERS of -1 takes as many layers as fit"
    return load_errors.out_of_memory(path, detail)


def _chosen(devices: Sequence[Device], options: EngineOptions) -> tuple[Device, ...]:
    """The accelerators that the options leave to llama.cpp."""
    if not options.gpu_layers:
        return ()
    if options.split_mode != "none" or not devices:
        return tuple(devices)
    within("main_gpu", options.main_gpu, 0, len(devices) - 1)
    return (devices[options.main_gpu],)


def _place(need: Need, machine: Machine, options: EngineOptions, count: int) -> Placement:
    """As llama.cpp does: the last `count` layers, parted by free memory or as set."""
    on_host = (0,) * (len(need.layer_bytes) - count)
    if not count:
        return Placement(on_host, machine, need)
    shares = [float(device.free_bytes) for device in machine.devices]
    if options.tensor_split:
        shares = [*options.tensor_split, *(0.0 for _ in shares)][: len(shares)]
    if not any(shares):
        shares = [1.0] * len(shares)
    ends = [part / sum(shares) for part in itertools.accumulate(shares)]
    parts = (min(bisect_right(ends, at / count) + 1, len(ends)) for at in range(count))
    return Placement((*on_host, *parts), machine, need)


def _usable(device: Device) -> float:
    return device.free_bytes - MARGIN_BYTES if device.total_bytes else float("inf")


def _at(places: Sequence[int], sizes: Sequence[float], place: int) -> float:
    return sum(size for at, size in zip(places, sizes, strict=False) if at == place)


def _does_not_fit(what: str, needed: float, free: float, where: str, but: str = "") -> str:
    return f"{what} take {needed / _GIB:.2f} GiB, {free / _GIB:.2f} GiB of {where} are free{but}"
