"""What safe mode gives up, what it keeps, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_settings import SettingError, engine_options
from llama_chat_adapter import LlamaChat_adapter
from llama_engine.options import EngineOptions
from safe_mode import SafeMode, go_safe, remedy_for

LONG = "a context of more than 2048 tokens"
KILLED = "its usual launch failed: killed by SIGSEGV (signal 11): a fault in native code"


def test_nothing_is_left_that_a_broken_build_dies_of() -> None:
    safe, gave_up = go_safe(EngineOptions(), has_gpu=True)
    assert not safe.extra_buffers and safe.flash_attention == "off"
    assert (safe.gpu_layers, safe.sequences, safe.total_tokens) == (0, 1, 2048)
    assert gave_up == (
        *("extra buffer types", "flash attention", "the GPU", "several replies at once"),
        LONG,
    )
    safe.check()


def test_what_was_not_there_is_not_given_up() -> None:
    own = EngineOptions(
        extra_buffers=False, flash_attention="off", sequences=1, context_tokens=1024, threads=3
    )
    safe, gave_up = go_safe(own, has_gpu=False)
    assert gave_up == ()
    assert (safe.context_tokens, safe.threads) == (1024, 3), "a smaller setting stays"


@pytest.mark.parametrize(
    ("context", "total", "expected", "is_long"),
    [
        (0, 0, (0, 2048), True),
        (8192, 0, (2048, 2048), True),
        (1024, 4096, (1024, 2048), False),
        (0, 512, (0, 512), False),
    ],
)
def test_a_short_context(
    context: int, total: int, expected: tuple[int, int], is_long: bool
) -> None:
    own = EngineOptions(context_tokens=context, total_tokens=total)
    safe, gave_up = go_safe(own, has_gpu=False)
    assert (safe.context_tokens, safe.total_tokens) == expected
    assert (LONG in gave_up) == is_long


def test_a_packed_value_cache_needs_flash_attention() -> None:
    own = EngineOptions(key_cache_type="q8_0", value_cache_type="q8_0")
    safe, gave_up = go_safe(own, has_gpu=False)
    safe.check()
    assert (safe.key_cache_type, safe.value_cache_type) == ("q8_0", "f16")
    assert "the packed value cache, which needs flash attention" in gave_up


def test_a_model_of_a_short_context_lost_nothing_of_it() -> None:
    told = SafeMode(("the GPU", LONG), "why", "how")
    assert told.with_model(2048).gave_up == ("the GPU",)
    assert told.with_model(4096) == told


def test_extra_buffers_alone_can_be_set_off(module_path: Path) -> None:
    name = "CPAI_MODULE_LLAMA_EXTRA_BUFFERS"
    assert engine_options({}, module_path).extra_buffers
    assert not engine_options({name: "off"}, module_path).extra_buffers
    with pytest.raises(SettingError, match=f"{name}: expected true or false, got 'perhaps'"):
        engine_options({name: "perhaps"}, module_path)


def test_the_remedy_fits_the_reason(module_path: Path, tmp_path: Path) -> None:
    assert f"install.sh in {module_path.parents[1]}: it proves" in remedy_for(KILLED, module_path)
    assert remedy_for(KILLED, tmp_path).startswith("Install the module again: it proves")
    (tmp_path / "__main__.py").touch()  # as in a package that pip installed
    in_package = tmp_path / "modules" / "LlamaChat"
    assert remedy_for(KILLED, in_package).startswith("Run llamachat setup: it proves")
    assert "a smaller model" in remedy_for("killed by SIGKILL (signal 9)", module_path)
    assert "Unset" in remedy_for("CPAI_MODULE_SAFE_MODE asks for it", module_path)


def test_the_module_answers_and_says_what_it_gave_up(
    monkeypatch: pytest.MonkeyPatch, model_dir: Path, module_path: Path
) -> None:
    monkeypatch.setenv("CPAI_MODULE_LLAMA_MODEL_DIR", str(model_dir))
    monkeypatch.setenv("CPAI_MODULE_LLAMA_MODEL_FILENAME", "tiny.gguf")
    monkeypatch.setenv("CPAI_MODULE_SAFE_MODE", "true")
    monkeypatch.setenv("CPAI_MODULE_SAFE_MODE_REASON", KILLED)
    adapter = LlamaChat_adapter()
    try:
        adapter.initialise()
        status = adapter.module_status()
        assert adapter.selftest()["success"]
    finally:
        adapter.cleanup()
    assert adapter.parallelism == 1 == status["engine"]["sequences"]
    assert status["engine"]["totalTokens"] == 2048
    told = status["safeMode"]
    assert told["gaveUp"] == ["extra buffer types", "flash attention", "several replies at once"]
    assert (told["reason"], told["remedy"]) == (KILLED, remedy_for(KILLED, module_path))
    shown = str(SafeMode(tuple(told["gaveUp"]), told["reason"], told["remedy"]))
    assert shown.startswith("Safe mode, without extra buffer types, flash attention, ")
