"""Downloads, from a hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import FakeHub
from llama_engine.load_errors import LoadReason, ModelLoadError
from model_files.hub import Hub
from model_files.source import ModelSource, locate

REPO = "someone/Small-GGUF"
NAME = "small.Q4_K_M.gguf"
CHUNK_BYTES = 4096


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks, so that what came before a break is written; retries without a pause."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", CHUNK_BYTES)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)


@pytest.fixture
def fake(tiny_bytes: bytes) -> Iterator[FakeHub]:
    files = {NAME: tiny_bytes, "small.Q8_0.gguf": tiny_bytes, "README.md": b"# Small"}
    with FakeHub(REPO, files) as server:
        yield server


@pytest.fixture
def hub(fake: FakeHub) -> Hub:
    return Hub(fake.url)


def reason_of(hub: Hub, target: Path, repo: str = REPO, name: str = NAME) -> LoadReason:
    with pytest.raises(ModelLoadError) as caught:
        hub.fetch(repo, name, target)
    return caught.value.reason


def test_a_whole_download(hub: Hub, tmp_path: Path, tiny_bytes: bytes) -> None:
    path = hub.fetch(REPO, NAME, tmp_path / NAME)
    assert path.read_bytes() == tiny_bytes
    assert [item.name for item in tmp_path.iterdir()] == [NAME]


def test_a_file_that_is_there_is_not_fetched_again(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    hub.fetch(REPO, NAME, tmp_path / NAME)
    fake.requests.clear()
    hub.fetch(REPO, NAME, tmp_path / NAME)
    assert [method for method, _, _ in fake.requests] == ["HEAD"]


def test_a_broken_download_goes_on_where_it_stopped(
    hub: Hub, fake: FakeHub, tmp_path: Path, tiny_bytes: bytes
) -> None:
    fake.break_after_bytes = len(tiny_bytes) // 2
    with pytest.raises(ModelLoadError):
        hub.fetch(REPO, NAME, tmp_path / NAME)
    assert not (tmp_path / NAME).exists()
    (part,) = tmp_path.glob("*.part")
    have = part.stat().st_size
    assert 0 < have <= len(tiny_bytes) // 2
    fake.mend()
    fake.requests.clear()
    path = hub.fetch(REPO, NAME, tmp_path / NAME)
    assert fake.ranges == [f"bytes={have}-"]
    assert path.read_bytes() == tiny_bytes
    assert not list(tmp_path.glob("*.part"))


def test_the_part_of_another_version_is_thrown_away(
    hub: Hub, fake: FakeHub, tmp_path: Path, tiny_bytes: bytes
) -> None:
    fake.break_after_bytes = len(tiny_bytes) // 2
    with pytest.raises(ModelLoadError):
        hub.fetch(REPO, NAME, tmp_path / NAME)
    fake.mend()
    fake.requests.clear()
    fake.files[NAME] = tiny_bytes[:-1] + b"!"
    path = hub.fetch(REPO, NAME, tmp_path / NAME)
    assert fake.ranges == []
    assert path.read_bytes() == fake.files[NAME]


def test_wrong_bytes_are_not_kept(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    fake.announced_sha256[NAME] = "ab" * 32
    with pytest.raises(ModelLoadError, match=f"expected SHA-256 {'ab' * 32}") as caught:
        hub.fetch(REPO, NAME, tmp_path / NAME)
    assert caught.value.reason is LoadReason.DAMAGED_DOWNLOAD
    assert not list(tmp_path.iterdir())


def test_what_is_not_a_gguf_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    reason = reason_of(hub, tmp_path / "README.md", name="README.md")
    assert reason is LoadReason.DAMAGED_DOWNLOAD
    assert not list(tmp_path.iterdir())


def test_too_small_a_disk_is_seen_before_the_first_byte(fake: FakeHub, tmp_path: Path) -> None:
    hub = Hub(fake.url, free_bytes=lambda _: 100_000_000)
    with pytest.raises(ModelLoadError, match=r"0\.27 GB are needed.*0\.10 GB are free") as caught:
        hub.fetch(REPO, NAME, tmp_path / NAME)
    assert caught.value.reason is LoadReason.DISK_FULL
    assert all(method == "HEAD" for method, _, _ in fake.requests)


def test_no_network(tmp_path: Path) -> None:
    nobody = Hub("http://127.0.0.1:9")
    with pytest.raises(ModelLoadError, match="cannot be reached") as caught:
        nobody.fetch(REPO, NAME, tmp_path / NAME)
    assert caught.value.reason is LoadReason.NO_NETWORK
    assert not list(tmp_path.iterdir())


def test_no_such_repository(hub: Hub, tmp_path: Path) -> None:
    assert reason_of(hub, tmp_path / NAME, repo="no/body") is LoadReason.NO_MATCH


def test_no_such_file(hub: Hub, tmp_path: Path) -> None:
    assert reason_of(hub, tmp_path / NAME, name="other.gguf") is LoadReason.NO_MATCH


def test_the_glob_finds_one_file(hub: Hub) -> None:
    assert hub.find(REPO, "*.Q4_K_M.gguf") == NAME


@pytest.mark.parametrize(
    ("fileglob", "said"), [("*.Q2_K.gguf", "none of its 3 does"), ("*.gguf", "2 do")]
)
def test_a_glob_that_finds_none_or_several(hub: Hub, fileglob: str, said: str) -> None:
    with pytest.raises(ModelLoadError, match=said) as caught:
        hub.find(REPO, fileglob)
    assert caught.value.reason is LoadReason.NO_MATCH


def test_a_missing_file_comes_from_the_hub_and_stays(
    hub: Hub, fake: FakeHub, tmp_path: Path, tiny_bytes: bytes
) -> None:
    source = ModelSource(tmp_path, "not-here.gguf", REPO, "*.Q4_K_M.gguf")
    path = locate(source, hub)
    assert path == tmp_path / "someone--Small-GGUF" / NAME
    assert path.read_bytes() == tiny_bytes
    fake.requests.clear()
    assert locate(source, hub) == path
    assert fake.requests == []


def test_a_local_file_comes_first(hub: Hub, fake: FakeHub, model_dir: Path) -> None:
    source = ModelSource(model_dir, "tiny.gguf", REPO, "*.Q4_K_M.gguf")
    assert locate(source, hub) == model_dir / "tiny.gguf"
    assert fake.requests == []


def test_the_hub_s_failure_says_what_was_missing_too(hub: Hub, tmp_path: Path) -> None:
    source = ModelSource(tmp_path, "not-here.gguf", "no/body", "*.gguf")
    with pytest.raises(ModelLoadError, match=r"'not-here\.gguf' is not in .*no such repository"):
        locate(source, hub)
