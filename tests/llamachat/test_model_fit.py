"""Which models fit, by what is free. The accelerators are made up."""

from __future__ import annotations

from llama_engine.machine.devices import Device
from model_files.fit import Fit, FreeMemory

GIB = 1024**3
CARD = Device("CUDA0", 8 * GIB, 8 * GIB)
SHARED = Device("MTL0", 12 * GIB, 12 * GIB, shares_memory=True)


def test_in_memory() -> None:
    free = FreeMemory(8 * GIB)
    assert free.fit(7 * GIB) is Fit.FITS
    assert free.fit(8 * GIB) is Fit.TOO_LARGE
    assert str(free) == "8.0 GiB of memory"


def test_on_a_card_a_margin_is_kept_back() -> None:
    free = FreeMemory(8 * GIB, (CARD,))
    assert free.fit(6 * GIB) is Fit.FITS
    assert free.fit(int(7.5 * GIB)) is Fit.PARTLY
    assert free.fit(16 * GIB) is Fit.TOO_LARGE
    assert str(free).endswith("8.0 GiB on CUDA0 (of which 1 GiB is kept back)")


def test_a_chip_in_the_machine_s_memory_adds_none() -> None:
    free = FreeMemory(8 * GIB, (SHARED,))
    assert free.fit(7 * GIB) is Fit.FITS
    assert free.fit(9 * GIB) is Fit.TOO_LARGE


def test_this_machine_can_be_asked() -> None:
    free = FreeMemory.now()
    assert free.memory_bytes > 0
    assert free.fit(10**15) is Fit.TOO_LARGE
    assert [fit.in_words() for fit in Fit] == ["fits", "fits partly on GPU", "too large"]
