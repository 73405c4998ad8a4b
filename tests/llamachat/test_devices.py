"""What ggml says of accelerators: the real library, and one that is made up."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from llama_engine.machine import devices
from llama_engine.machine.devices import Device

GIB = 1024**3
CPU, GPU, INTEGRATED, ACCELERATOR = range(4)


class Library:
    """Functions as ggml has them, over a list of (name, kind, free, total)."""

    def __init__(self, *found: tuple[str, int, int, int]) -> None:
        self.found = found

    def __getitem__(self, name: str) -> Any:
        answers = {
            "ggml_backend_dev_count": lambda: len(self.found),
            "ggml_backend_dev_get": lambda at: at,
            "ggml_backend_dev_type": lambda at: self.found[at][1],
            "ggml_backend_dev_name": lambda at: self.found[at][0].encode(),
            "ggml_backend_dev_memory": self.memory,
        }
        return lambda *arguments: answers[name](*arguments)

    def memory(self, at: int, free: Any, total: Any) -> None:
        for pointer, value in ((free, self.found[at][2]), (total, self.found[at][3])):
            ctypes.cast(pointer, ctypes.POINTER(ctypes.c_size_t))[0] = value


def test_this_machine_can_be_asked() -> None:
    _, registry = devices._libraries()
    count = devices._function(registry, "ggml_backend_dev_count", ctypes.c_size_t)
    assert count() >= 1  # the processor itself
    assert all(device.total_bytes >= device.free_bytes for device in devices.accelerators())


def test_cards_with_what_they_have_free() -> None:
    library = Library(
        ("CUDA0", GPU, 7 * GIB, 8 * GIB), ("BLAS", ACCELERATOR, 0, 0),
        ("Vulkan1", INTEGRATED, 1, 2), ("CUDA1", GPU, 3 * GIB, 8 * GIB), ("CPU", CPU, 1, 1),
    )  # fmt: skip
    assert devices._read(library, library) == [
        Device("CUDA0", 7 * GIB, 8 * GIB),
        Device("CUDA1", 3 * GIB, 8 * GIB),
    ]


def test_an_integrated_one_where_there_is_no_other() -> None:
    library = Library(("Vulkan0", INTEGRATED, 1, 2), ("CPU", CPU, 1, 1))
    assert devices._read(library, library) == [Device("Vulkan0", 1, 2, True)]


def test_a_library_that_does_not_load_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(devices, "_libraries", broken)
    assert devices.accelerators() == []
