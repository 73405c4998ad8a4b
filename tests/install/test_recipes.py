"""How llama.cpp is compiled for machines that this one is not."""

from __future__ import annotations

import pytest
from llama_setup.amx import HEADER, Amx
from llama_setup.processor import Processor, from_cpuinfo
from llama_setup.recipes import Recipe, recipes
from test_processor import _V3, _V4, cpuinfo

AMX_XEON = from_cpuinfo(cpuinfo(f"{_V4} amx_tile amx_int8 amx_bf16"), "x86_64")
ZEN = from_cpuinfo(cpuinfo(_V3), "x86_64")
OLD = from_cpuinfo(cpuinfo("sse4_2 ssse3"), "x86_64")
ARM = Processor("arm64", "an Arm", "", frozenset({"asimd"}))


@pytest.mark.parametrize(
    ("processor", "amx", "names"),
    [
        (AMX_XEON, Amx.WORKS, ["native", "native-without-amx", "x86-64-v3", "x86-64-v2"]),
        (AMX_XEON, Amx.MENDED, ["native", "native-without-amx", "x86-64-v3", "x86-64-v2"]),
        (AMX_XEON, Amx.BROKEN, ["native-without-amx", "x86-64-v3", "x86-64-v2"]),
        (AMX_XEON, Amx.ABSENT, ["native", "x86-64-v3", "x86-64-v2"]),
        (ZEN, Amx.ABSENT, ["native", "x86-64-v3", "x86-64-v2"]),
        (OLD, Amx.ABSENT, ["native", "x86-64-v2"]),
        (ARM, Amx.ABSENT, ["native", "baseline"]),
    ],
)
def test_the_ladder(processor: Processor, amx: Amx, names: list[str]) -> None:
    found = list(recipes(processor, amx))
    assert [recipe.name for recipe in found] == names
    assert all(recipe.cost for recipe in found[1:])


def test_amx_is_mended_by_the_header_and_left_out_by_flags() -> None:
    first, second, *_ = recipes(AMX_XEON, Amx.MENDED)
    assert str(HEADER) in first.environment({})["CXXFLAGS"]
    assert first.environment({})["CFLAGS"] == ""
    for name in ("CFLAGS", "CXXFLAGS"):
        assert "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" in second.environment({})[name]


def test_plain_levels_name_every_feature() -> None:
    *_, third, second = recipes(ZEN, Amx.ABSENT)
    assert "-DGGML_AVX2=ON" in third.cmake
    assert "-DGGML_AVX2=OFF" in second.cmake
    assert all("-DGGML_NATIVE=OFF" in recipe.cmake for recipe in (third, second))


def test_the_user_s_own_flags_come_last_and_make_another_build() -> None:
    recipe = Recipe("native", "", "", ("-DA=1",), ("-O2",))
    own = {"CMAKE_ARGS": "-DA=2", "CXXFLAGS": "-O1", "HOME": "/x"}
    environment = recipe.environment(own)
    assert environment["CMAKE_ARGS"] == "-DA=1 -DA=2"
    assert environment["CXXFLAGS"] == "-O2 -O1"
    assert environment["HOME"] == "/x"
    assert recipe.key({}) != recipe.key(own)
    assert recipe.key({}) != recipe.key({"CC": "clang"})
    assert recipe.key({}, "one processor") != recipe.key({}, "another")


def test_images_are_a_switch() -> None:
    assert "-DLLAVA_BUILD=OFF" in next(recipes(ZEN, Amx.ABSENT)).cmake
    assert "-DLLAVA_BUILD=ON" in next(recipes(ZEN, Amx.ABSENT, has_images=True)).cmake
