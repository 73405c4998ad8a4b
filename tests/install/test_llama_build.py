"""Which build is chosen on machines that this one is not."""

from __future__ import annotations

import platform

import llama_build
import pytest
from llama_build import CPU, METAL, ROCM, VULKAN, Run, choose_build

NVIDIA_SMI = "| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: {}     |"


def machine(**outputs: str) -> Run:
    """A machine on which these programs answer, and no others."""
    return lambda command: outputs.get(command[0])


@pytest.fixture(autouse=True)
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.mark.parametrize(
    ("cuda", "wheels"),
    [
        ("13.3", "cu132"),
        ("13.1", "cu130"),
        ("12.8", "cu125"),
        ("12.4", "cu124"),
        ("12.1", "cu121"),
        ("12.0", "cu118"),
        ("11.8", "cu118"),
    ],
)
def test_an_nvidia_driver_runs_its_own_cuda_and_older(cuda: str, wheels: str) -> None:
    build = choose_build(run=machine(**{"nvidia-smi": NVIDIA_SMI.format(cuda)}))
    assert (build.backend, build.wheels) == ("cuda", wheels)
    assert cuda in build.why


def test_a_driver_that_is_too_old_means_the_cpu() -> None:
    build = choose_build(run=machine(**{"nvidia-smi": NVIDIA_SMI.format("11.4")}))
    assert build.backend == "cpu"
    assert "11.4 is too old" in build.why


def test_amd_and_vulkan_and_nothing() -> None:
    assert choose_build(run=machine(rocminfo="  Name:  gfx1100")) == ROCM
    discrete = "deviceType = PHYSICAL_DEVICE_TYPE_DISCRETE_GPU"
    assert choose_build(run=machine(vulkaninfo=discrete)) == VULKAN
    software = "deviceType = PHYSICAL_DEVICE_TYPE_CPU"
    assert choose_build(run=machine(vulkaninfo=software)) == CPU
    assert choose_build(run=machine()) == CPU


def test_macs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert choose_build(run=machine()) == CPU
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert choose_build(run=machine()) == METAL


def test_what_was_asked_for_is_taken() -> None:
    nvidia = machine(**{"nvidia-smi": NVIDIA_SMI.format("12.4")})
    assert choose_build("cpu", nvidia) == CPU
    assert choose_build("vulkan", nvidia) == VULKAN
    assert choose_build("cuda", nvidia).wheels == "cu124"
    with pytest.raises(ValueError, match="nvidia-smi"):
        choose_build("cuda", machine())


def test_missing_tools_are_named() -> None:
    assert llama_build.missing_tools(CPU, which=lambda _: None) == ["a C++ compiler"]
    assert llama_build.missing_tools(ROCM, which=lambda _: None) == ["a C++ compiler", "hipcc"]
    assert llama_build.missing_tools(CPU, which=lambda name: f"/usr/bin/{name}") == []


def test_a_program_that_is_not_there_has_no_output() -> None:
    assert llama_build.run_program(["no-such-program-here"]) is None


def test_an_index_out_of_reach_is_known_soon() -> None:
    assert llama_build.is_reachable("http://127.0.0.1:9/", timeout_s=2) is False


def test_the_time_it_takes() -> None:
    assert llama_build.build_minutes(2) == 6
    assert llama_build.build_minutes(64) == 1
