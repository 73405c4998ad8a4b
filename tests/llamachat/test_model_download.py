"""The command that fetches and chooses models, as a process against a hub on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import FakeHub
from model_files.catalogue import find_entry, read_selection

NAME = "gemma-3-1b"
LARGE_BYTES = 25 * 1024**2
"""Several of the chunks of 10 MiB in which the hub's client writes."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def fake(module_path: Path) -> Iterator[FakeHub]:
    entry = find_entry(module_path, NAME)
    content = b"GGUF" + os.urandom(1024) * (LARGE_BYTES // 1024)
    with FakeHub(entry.repo, {entry.file: content}) as server:
        yield server


def environment(fake: FakeHub | None, directory: Path) -> dict[str, str]:
    unreachable = "http://127.0.0.1:9"
    return {
        **{name: text for name, text in os.environ.items() if not name.startswith("CPAI_")},
        "CPAI_MODULE_LLAMA_MODEL_DIR": str(directory),
        "HF_ENDPOINT": fake.url if fake else unreachable,
        "HF_HOME": str(directory.parent / "home"),
    }


def start(module_path: Path, env: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(module_path / "model_download.py"), *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(module_path: Path, env: dict[str, str], *arguments: str) -> tuple[int, str]:
    with start(module_path, env, *arguments) as process:
        output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_a_model_is_fetched_verified_and_chosen(
    module_path: Path, fake: FakeHub, directory: Path
) -> None:
    status, output = run(module_path, environment(fake, directory), NAME)
    assert status == 0, output
    file = find_entry(module_path, NAME).file
    assert (directory / file).read_bytes() == fake.files[file]
    assert read_selection(directory) == NAME
    assert "the next start of the host loads it" in output
    assert "HTTP" not in output  # what is asked of the hub is nobody's business


def test_a_killed_download_goes_on_where_it_stopped(
    module_path: Path, fake: FakeHub, directory: Path
) -> None:
    env = environment(fake, directory)
    fake.hold_after_bytes = LARGE_BYTES // 2
    with start(module_path, env, NAME) as process:
        deadline_s = time.monotonic() + 30
        while not any(part.stat().st_size for part in directory.glob("*.part")):
            assert time.monotonic() < deadline_s, "nothing was written"
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        process.kill()
        process.communicate(timeout=10)
    assert read_selection(directory) is None
    (part,) = directory.glob("*.part")
    have = part.stat().st_size
    fake.mend()
    status, output = run(module_path, env, NAME)
    assert status == 0, output
    assert fake.ranges == [f"bytes={have}-"]
    file = find_entry(module_path, NAME).file
    assert (directory / file).read_bytes() == fake.files[file]


def test_without_a_network_nothing_changes(module_path: Path, directory: Path) -> None:
    status, output = run(module_path, environment(None, directory), NAME)
    assert status == 1
    assert "cannot be reached" in output
    assert "Nothing was changed" in output
    assert read_selection(directory) is None


def test_an_unknown_name_lists_those_there_are(module_path: Path, directory: Path) -> None:
    status, output = run(module_path, environment(None, directory), "gpt")
    assert status == 1
    assert "expected one of guide, gemma-3-1b" in output


def test_a_model_that_is_there_needs_no_network(
    module_path: Path, directory: Path, tiny_bytes: bytes
) -> None:
    directory.mkdir()
    (directory / find_entry(module_path, NAME).file).write_bytes(tiny_bytes)
    env = environment(None, directory)
    assert run(module_path, env, NAME)[0] == 0
    assert read_selection(directory) == NAME
    status, output = run(module_path, env, "guide")
    assert status == 0, output
    assert read_selection(directory) is None


def test_the_list_says_what_is_here_and_what_is_chosen(module_path: Path, directory: Path) -> None:
    env = environment(None, directory)
    models = {model["name"]: model for model in json.loads(run(module_path, env, "--json")[1])}
    assert models["guide"]["isSelected"] and models["guide"]["isDownloaded"]
    assert not models["mistral-7b"]["isDownloaded"]
    assert models["mistral-7b"]["sizeBytes"] == 4368439584
    assert models["guide"]["fit"] == "fits"
    assert {model["fit"] for model in models.values()} <= {"fits", "partly", "too_large"}
    status, text = run(module_path, env, "--list")
    assert status == 0
    assert text.startswith("Free now: ")
    assert "* guide                  4.3 MB  here         fits  " in text
    assert "4.37 GB  to download" in text
