"""What was compiled is kept under a key of all that it depends on."""

from __future__ import annotations

from pathlib import Path

import pytest
from llama_setup.wheel_cache import WheelCache, cache_folder


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "llama_cpp_python-1-py3-none-any.whl"
    path.write_bytes(b"a wheel")
    return path


def test_a_wheel_is_found_under_its_key_only(tmp_path: Path, wheel: Path) -> None:
    cache = WheelCache(tmp_path / "cache")
    kept = cache.put("one", wheel)
    assert cache.find("one") == kept
    assert kept.read_bytes() == b"a wheel"
    assert cache.find("another") is None
    assert list(kept.parent.iterdir()) == [kept]


def test_what_failed_is_remembered_until_it_is_forgotten(tmp_path: Path, wheel: Path) -> None:
    cache = WheelCache(tmp_path / "cache")
    cache.put("one", wheel)
    assert cache.why_failed("one") == ""
    cache.remember_failure("one", "killed by SIGILL")
    assert cache.find("one") is None
    assert cache.why_failed("one") == "killed by SIGILL"
    cache.forget_failures()
    assert cache.why_failed("one") == ""


def test_the_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLAMACHAT_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("LLAMACHAT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert cache_folder() == tmp_path / "llamachat"
