"""The adapter without a host: its checks, its status, its self-test as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_chat_adapter
import pytest
from build_proof import Proof
from chat_request import ChatRequest
from llama_chat_adapter import LlamaChat_adapter
from llama_engine.load_errors import ModelLoadError

from sdk import LongProcess, RequestData, RequestError, RunningCommand

SETTINGS = (
    "CPAI_MODULE_LLAMA_MODEL_DIR",
    "CPAI_MODULE_LLAMA_MODEL_FILENAME",
    "CPAI_MODULE_LLAMA_MODEL_REPO",
    "CPAI_MODULE_LLAMA_MODEL_FILEGLOB",
    "CPAI_MODULE_LLAMA_CONTEXT_TOKENS",
    "CPAI_MODULE_LLAMA_THREADS",
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, model_dir: Path) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CPAI_MODULE_LLAMA_MODEL_DIR", str(model_dir))
    monkeypatch.setenv("CPAI_MODULE_LLAMA_MODEL_FILENAME", "tiny.gguf")
    monkeypatch.setenv("CPAI_MODULE_LLAMA_THREADS", "1")
    monkeypatch.setenv("CPAI_MODULE_PARALLELISM", "3")


@pytest.fixture
def adapter() -> Iterator[LlamaChat_adapter]:
    adapter = LlamaChat_adapter()
    adapter.initialise()
    yield adapter
    adapter.cleanup()


def data(**values: object) -> RequestData:
    request = RequestData()
    for key, value in values.items():
        request.add_value(key, value)
    return request


def test_a_prompt_becomes_a_long_process(adapter: LlamaChat_adapter) -> None:
    long = adapter.process(data(prompt="Hello", max_tokens="5"))
    assert isinstance(long, LongProcess)
    command = RunningCommand("c1", lambda: None)
    result = long.fn(data(), command)
    assert isinstance(result, dict)
    assert result["stop_reason"] == "length"
    assert command.text.strip()


def run(adapter: LlamaChat_adapter, **values: object) -> tuple[dict[str, Any], RunningCommand]:
    long = adapter.process(data(max_tokens="5", **values))
    assert isinstance(long, LongProcess)
    command = RunningCommand("c1", lambda: None)
    result = long.fn(data(), command)
    assert isinstance(result, dict)
    return result, command


def test_messages_are_a_conversation(adapter: LlamaChat_adapter) -> None:
    said = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes"}]
    alone, command = run(adapter, messages=json.dumps(said[:1]))
    assert (alone["stop_reason"], bool(command.text.strip())) == ("length", True)
    prompts = [command.output.fields()[0]["promptTokens"]]
    for prompt in ("Why?", "Why? Why?"):
        _, longer = run(adapter, messages=json.dumps(said), prompt=prompt)
        prompts.append(longer.output.fields()[0]["promptTokens"])
    assert prompts == sorted(set(prompts))


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"messages": '[{"role": "bot"}]'}, "messages[0].role: expected one of"),
        (
            {"messages": '[{"role": "system", "content": "A"}]', "system_prompt": "B"},
            "system_prompt: expected none beside messages with a system message",
        ),
        (
            {"prompt": "Hi", "tools": '[{"type": "function", "function": {"name": "weather"}}]'},
            "tools: the model's chat template does not show them",
        ),
        ({"prompt": "Hi", "chat_template": "rag"}, "chat_template: expected one of default"),
    ],
)
def test_what_the_model_cannot_be_told_fails_with_its_reason(
    adapter: LlamaChat_adapter, values: dict[str, object], error: str
) -> None:
    result, _ = run(adapter, **values)
    assert (result["success"], result["code"]) == (False, 400)
    assert error in str(result["error"])


def test_an_empty_system_prompt_is_not_one_that_was_not_sent() -> None:
    asked = [data(prompt="x"), data(prompt="x", system_prompt="")]
    assert [ChatRequest.from_data(each).system_prompt for each in asked] == [None, ""]


@pytest.mark.parametrize(
    ("values", "field", "expected", "got"),
    [
        ({}, "prompt", "not blank", "None"),
        ({"prompt": ""}, "prompt", "not blank", "''"),
        ({"prompt": " \n"}, "prompt", "not blank", "' \\n'"),
        ({"prompt": "x", "max_tokens": "abc"}, "max_tokens", "a whole number", "'abc'"),
        ({"prompt": "x", "max_tokens": "1.5"}, "max_tokens", "a whole number", "'1.5'"),
        ({"prompt": "x", "max_tokens": -1}, "max_tokens", "at least 0", "-1"),
        ({"prompt": "x", "temperature": "-1"}, "temperature", "at least 0", "-1"),
        ({"prompt": "x", "temperature": 2.5}, "temperature", "at most 2", "2.5"),
        ({"prompt": "x", "temperature": "warm"}, "temperature", "a finite number", "'warm'"),
        ({"prompt": "x", "temperature": "nan"}, "temperature", "a finite number", "'nan'"),
    ],
)
def test_bad_input_names_field_expected_and_got(
    adapter: LlamaChat_adapter, values: dict[str, object], field: str, expected: str, got: str
) -> None:
    with pytest.raises(RequestError) as caught:
        adapter.process(data(**values))
    assert caught.value.field == field
    assert expected in str(caught.value)
    assert got in str(caught.value)


def test_the_status_says_what_is_loaded(adapter: LlamaChat_adapter) -> None:
    status = adapter.module_status()
    assert isinstance(status, dict)
    assert status["modelFile"] == "tiny.gguf"
    assert status["contextTokens"] == 2048
    assert status["quantisation"] == "F16"
    assert status["loadError"] is None
    assert adapter.inference_device in ("CPU", "GPU")
    assert status["loadPercent"] == 100
    assert status["engine"]["sequences"] == adapter.parallelism == 3


def test_the_selftest_is_a_real_reply(adapter: LlamaChat_adapter) -> None:
    result = adapter.selftest()
    assert isinstance(result, dict)
    assert result["success"] is True
    assert str(result["reply"]).strip()


def test_without_a_model_every_command_fails_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CPAI_MODULE_LLAMA_MODEL_FILENAME", "half.gguf")
    adapter = LlamaChat_adapter()
    with pytest.raises(ModelLoadError, match="cut short"):
        adapter.initialise()
    for values in ({"prompt": "Hello"}, {}):
        with pytest.raises(ModelLoadError, match=r"half\.gguf.*llamachat models guide"):
            adapter.process(data(**values))
    status = adapter.module_status()
    assert isinstance(status, dict)
    assert status["loadErrorReason"] == "truncated"
    assert "half.gguf" in str(status["loadError"])
    adapter.cleanup()


@pytest.fixture
def broken_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that died in the proof that its processor's change asked for."""
    proof = Proof(ok=False, fingerprint="", processor="", reason="killed by SIGILL")
    monkeypatch.setattr(llama_chat_adapter, "current_proof", lambda: None)
    monkeypatch.setattr(llama_chat_adapter, "prove", lambda: proof)


@pytest.mark.usefixtures("broken_build")
def test_a_build_that_fails_its_proof_is_used_in_safe_mode_only() -> None:
    adapter = LlamaChat_adapter()
    adapter.initialise()
    status = adapter.module_status()
    adapter.cleanup()
    assert isinstance(status, dict)
    assert "extra buffer types" in status["safeMode"]["gaveUp"]
    assert "fails its proof here: killed by SIGILL" in status["safeMode"]["reason"]
    assert "install" in status["safeMode"]["remedy"]
    assert status["engine"]["sequences"] == 1


@pytest.mark.usefixtures("broken_build")
def test_where_safe_mode_is_forbidden_it_is_a_reason_not_to_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CPAI_MODULE_SAFE_MODE", "false")
    adapter = LlamaChat_adapter()
    with pytest.raises(ModelLoadError, match=r"^This build .* killed by SIGILL.*install"):
        adapter.initialise()
    with pytest.raises(ModelLoadError, match="killed by SIGILL"):
        adapter.process(data(prompt="Hello"))


def test_a_wrong_number_in_the_settings_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPAI_MODULE_LLAMA_THREADS", "many")
    with pytest.raises(ValueError, match=r"CPAI_MODULE_LLAMA_THREADS.*'many'"):
        LlamaChat_adapter().initialise()


@pytest.mark.parametrize(("filename", "status"), [("tiny.gguf", 0), ("text.gguf", 1)])
def test_the_selftest_as_a_process(
    module_path: Path, root_path: Path, model_dir: Path, filename: str, status: int
) -> None:
    environment = {
        **os.environ,
        "CPAI_MODULE_LLAMA_MODEL_DIR": str(model_dir),
        "CPAI_MODULE_LLAMA_MODEL_FILENAME": filename,
        "PYTHONPATH": str(root_path),
    }
    result = subprocess.run(
        [sys.executable, "llama_chat_adapter.py", "--selftest"],
        cwd=module_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == status, result.stdout + result.stderr
    if status:
        assert "not a GGUF file" in result.stdout + result.stderr
