"""Which build is chosen on machines that this one is not."""

from __future__ import annotations

import platform

import pytest
from llama_setup import builds
from llama_setup.builds import CPU, METAL, ROCM, VULKAN, Run, choose_build

NVIDIA_SMI = "| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: {}     |"


def machine(capability: str = "", **outputs: str) -> Run:
    """A machine on which these programs answer, and no others; `capability`: its cards'."""

    def run(command: list[str]) -> str | None:
        if "--query-gpu=compute_cap" in command:
            return capability or None
        return outputs.get(command[0])

    return run


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


@pytest.mark.parametrize(
    ("capability", "wheels"),
    [("7.5\n", "cu132"), ("6.1\n", "cu125"), ("9.0\n7.0\n", "cu125"), ("12.0\n", "cu132")],
)
def test_the_oldest_card_decides_beside_the_driver(capability: str, wheels: str) -> None:
    """CUDA 13 has no kernels for Maxwell, Pascal and Volta."""
    smi = {"nvidia-smi": NVIDIA_SMI.format("13.3")}
    assert choose_build(run=machine(capability, **smi)).wheels == wheels


def test_a_card_that_is_too_old_means_the_cpu() -> None:
    old = machine("3.5\n", **{"nvidia-smi": NVIDIA_SMI.format("11.8")})
    build = choose_build(run=old)
    assert build.backend == "cpu"
    assert "compute capability 3.5 is too old" in build.why
    with pytest.raises(ValueError, match=r"got: .*3\.5 is too old"):
        choose_build("cuda", old)


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
    assert builds.missing_tools(CPU, which=lambda _: None) == ["a C++ compiler"]
    assert builds.missing_tools(ROCM, which=lambda _: None) == ["a C++ compiler", "hipcc"]
    assert builds.missing_tools(CPU, which=lambda name: f"/usr/bin/{name}") == []


def test_a_program_that_is_not_there_has_no_output() -> None:
    assert builds.run_program(["no-such-program-here"]) is None


def test_an_index_out_of_reach_is_known_soon() -> None:
    assert builds.is_reachable("http://127.0.0.1:9/", timeout_s=2) is False


def test_the_time_it_takes() -> None:
    assert builds.build_minutes(2) == 3
    assert builds.build_minutes(64) == 1
