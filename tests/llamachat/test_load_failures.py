"""Everything that can be wrong with a model file, against the real llama.cpp."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from llama_chat import LlamaChat
from llama_engine import load_errors
from llama_engine.llama.llama_log import device_of
from llama_engine.load_errors import LoadReason, ModelLoadError
from llama_engine.machine import machine_limits


def chat(directory: Path, filename: str, n_ctx: int = 0) -> LlamaChat:
    return LlamaChat("", "", filename, directory, n_ctx=n_ctx, verbose=False)


@pytest.mark.parametrize(
    ("filename", "reason", "said"),
    [
        ("nowhere.gguf", LoadReason.MISSING_FILE, "CPAI_MODULE_LLAMA_MODEL_REPO"),
        ("half.gguf", LoadReason.TRUNCATED, "bytes"),
        ("short.gguf", LoadReason.TRUNCATED, "Download it again"),
        ("head.gguf", LoadReason.TRUNCATED, "300 bytes"),
        ("text.gguf", LoadReason.NOT_GGUF, 'begin with "GGUF", found "A te"'),
        ("empty.gguf", LoadReason.NOT_GGUF, "an empty file"),
        ("unknown.gguf", LoadReason.UNSUPPORTED, "qwenX"),
    ],
)
def test_each_failure_has_its_reason(
    model_dir: Path, filename: str, reason: LoadReason, said: str
) -> None:
    model = chat(model_dir, filename)
    with pytest.raises(ModelLoadError) as caught:
        model.load()
    assert caught.value.reason is reason
    assert filename in str(caught.value)
    assert said in str(caught.value)
    assert model.load_error is caught.value
    assert model.model_path is None
    assert model.facts is None


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="found nothing") as caught:
        chat(tmp_path / "no" / "such", "tiny.gguf").load()
    assert caught.value.reason is LoadReason.MISSING_DIRECTORY
    assert str(tmp_path / "no" / "such") in str(caught.value)


def test_a_directory_that_is_a_file(model_dir: Path) -> None:
    with pytest.raises(ModelLoadError, match="found a file") as caught:
        chat(model_dir / "tiny.gguf", "tiny.gguf").load()
    assert caught.value.reason is LoadReason.MISSING_DIRECTORY


def test_a_context_beyond_all_memory_is_refused_before_it_is_allocated(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_limits, "available_memory_bytes", lambda: 2**30)
    with pytest.raises(
        ModelLoadError, match=r"16777216 tokens takes .* GiB of memory .*are free"
    ) as caught:
        chat(model_dir, "tiny.gguf", n_ctx=2**24).load()
    assert caught.value.reason is LoadReason.OUT_OF_MEMORY


STARVED = """
import resource, sys
from pathlib import Path
import psutil
from llama_engine.machine import machine_limits
from llama_engine.loading.engine_loading import load_engine
from llama_engine.options import EngineOptions
from llama_engine.load_errors import ModelLoadError
machine_limits.available_memory_bytes = lambda: 2**62  # let it try what it would refuse
limit = psutil.Process().memory_info().vms + 300 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    load_engine(Path(sys.argv[1]), EngineOptions(sequences=1, context_tokens=4 * 2**20, threads=1))
except ModelLoadError as ex:
    print(ex.reason.value)
"""
"""One GiB of KV cache in a process that may have 300 MiB more than it has."""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on a process's memory")
def test_llama_cpp_running_out_of_memory_says_so(model_dir: Path, module_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", STARVED, str(model_dir / "tiny.gguf")],
        cwd=module_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout.strip() == "out_of_memory", result.stderr


def test_a_failed_load_can_be_tried_again(model_dir: Path, tmp_path: Path) -> None:
    model = chat(tmp_path, "late.gguf")
    with pytest.raises(ModelLoadError):
        model.load()
    (tmp_path / "late.gguf").write_bytes((model_dir / "tiny.gguf").read_bytes())
    model.load()
    assert model.load_error is None
    assert model.model_path == tmp_path / "late.gguf"
    model.close()


def test_a_chat_without_a_model_raises_the_reason(model_dir: Path) -> None:
    with pytest.raises(ModelLoadError) as caught:
        chat(model_dir, "half.gguf").do_chat("Hello")
    assert caught.value.reason is LoadReason.TRUNCATED


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: "
         "cudaMalloc failed: out of memory", LoadReason.OUT_OF_MEMORY),
        ("llama_init_from_model: failed to initialize the context: std::bad_alloc",
         LoadReason.OUT_OF_MEMORY),
        ("llama_kv_cache: failed to allocate buffer for kv cache", LoadReason.OUT_OF_MEMORY),
        ("llama_model_load: error loading model: unknown model architecture: 'x'",
         LoadReason.UNSUPPORTED),
        ("gguf_init_from_reader: invalid magic characters: 'hell', expected 'GGUF'",
         LoadReason.NOT_GGUF),
        ("llama_model_load: error loading model: tensor 'output.weight' data is not within the "
         "file bounds, model is corrupted or incomplete", LoadReason.TRUNCATED),
        ("llama_model_load: error loading model: missing tensor 'a'", LoadReason.OTHER),
    ],
)  # fmt: skip
def test_reasons_are_read_from_the_log(line: str, reason: LoadReason) -> None:
    error = load_errors.from_log(Path("m.gguf"), [line, "failed to load model"])
    assert error.reason is reason
    assert "llama_model_load:" not in str(error)


def test_a_silent_failure_is_admitted() -> None:
    error = load_errors.from_log(Path("m.gguf"), [])
    assert error.reason is LoadReason.OTHER
    assert "gave no reason" in str(error)


@pytest.mark.parametrize(
    ("buffers", "expected"),
    [
        (["CPU_Mapped"], ("CPU", "")),
        (["CPU_Mapped", "CUDA0", "CUDA1"], ("GPU", "CUDA")),
        (["CUDA_Host", "CPU"], ("CPU", "")),
        (["MTL0_Mapped", "CPU_Mapped"], ("GPU", "Metal")),
        (["Vulkan0"], ("GPU", "Vulkan")),
        (["ROCm0"], ("GPU", "ROCm")),
        (["AMX", "CPU_REPACK"], ("CPU", "")),
        ([], ("CPU", "")),
    ],
)
def test_the_device_is_where_the_weights_are(buffers: list[str], expected: tuple[str, str]) -> None:
    assert device_of(buffers) == expected
