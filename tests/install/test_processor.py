"""What is read from /proc/cpuinfo."""

from __future__ import annotations

from llama_setup.processor import from_cpuinfo, this_processor

_V3 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma abm movbe"
_V4 = f"{_V3} avx512f avx512bw avx512cd avx512dq avx512vl"


def cpuinfo(flags: str, name: str = "Some CPU", stepping: int = 1) -> str:
    return (
        f"processor\t: 0\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: {name}\n"
        f"stepping\t: {stepping}\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: other\n"
    )


def test_levels_of_x86() -> None:
    levels = [from_cpuinfo(cpuinfo(flags), "x86_64").x86_level for flags in ("sse2", _V3, _V4)]
    assert levels == [1, 3, 4]
    assert from_cpuinfo(cpuinfo(_V3.replace("fma", "")), "x86_64").x86_level == 2
    assert from_cpuinfo("Features\t: fp asimd\n", "arm64").x86_level == 0


def test_what_the_kernel_adds_does_not_make_another_processor() -> None:
    plain = from_cpuinfo(cpuinfo(_V3), "x86_64")
    assert plain.key == from_cpuinfo(cpuinfo(f"{_V3} hypervisor md_clear"), "x86_64").key
    assert plain.key != from_cpuinfo(cpuinfo(f"{_V3} amx_tile"), "x86_64").key
    assert plain.key != from_cpuinfo(cpuinfo(_V3, stepping=2), "x86_64").key
    assert plain.key != from_cpuinfo(cpuinfo(_V3, name="Another"), "x86_64").key


def test_it_is_told_in_words() -> None:
    processor = from_cpuinfo(cpuinfo(f"{_V4} amx_tile"), "x86_64")
    assert str(processor) == "Some CPU (x86_64, x86-64-v4 with AMX)"
    assert processor.has_amx


def test_this_one_has_a_name() -> None:
    assert this_processor().machine
    assert this_processor().key == this_processor().key
