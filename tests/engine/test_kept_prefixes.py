"""Prefixes in memory and on disk: bounded, found again, and never wrong."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
import pytest
from engine_helpers import MakeEngine, ask, assert_same, collect, prompt
from llama_engine.memory.disk_cache import DiskCache, fingerprint
from llama_engine.memory.snapshots import Snapshot, SnapshotStore
from llama_engine.text.tokens import common_length, view


def snapshot(tokens: list[int], size: int = 100) -> Snapshot:
    return Snapshot(array("i", tokens), np.zeros(size, np.uint8))


@pytest.mark.parametrize(
    ("one", "other", "length"),
    [([], [1], 0), ([1, 2], [1, 2, 3], 2), ([1, 2], [1, 3], 1), ([2], [1], 0), ([1], [1], 1)],
)
def test_common_length(one: list[int], other: list[int], length: int) -> None:
    assert common_length(view(array("i", one)), view(array("i", other))) == length


def test_the_store_stays_within_its_size() -> None:
    store = SnapshotStore(1_000)
    for number in range(50):
        store.add(snapshot([number] * 10))
        assert store.size_bytes <= 1_000
    assert len(store) == 7
    assert store.best(view(array("i", [49] * 12)), True)[1] == 10
    store.add(snapshot([7], size=2_000))
    assert store.best(view(array("i", [7])), True)[0] is None


def test_the_least_recently_used_goes_first() -> None:
    store = SnapshotStore(350)
    first, second, third = snapshot([1] * 5), snapshot([2] * 5), snapshot([3] * 5)
    store.add(first)
    store.add(second)
    store.touch(first)
    store.add(third)
    assert store.has(first.tokens)
    assert not store.has(second.tokens)


def test_a_longer_one_takes_the_place_of_its_beginning() -> None:
    store = SnapshotStore(10_000)
    store.add(snapshot([1, 2, 3]))
    store.add(snapshot([1, 2, 3, 4]))
    store.add(snapshot([1, 2]))
    assert len(store) == 1
    found, length = store.best(view(array("i", [1, 2, 9])), True)
    assert length == 2
    assert found is not None
    assert store.best(view(array("i", [1, 2, 9])), False) == (None, 0)


def test_turn_two_after_a_restart(make_engine: MakeEngine, tmp_path: Path) -> None:
    options = {"context_tokens": 4_096, "disk_cache_directory": tmp_path}
    engine = make_engine(**options)
    history = prompt(engine, 2_000)
    first = collect(ask(engine, history, 20))
    turn = [*history, *(each.token for each in first.tokens), *prompt(engine, 30, 5)]
    assert engine.stop()
    again = make_engine(**options)
    before = again.counts.evaluated_tokens
    second = collect(ask(again, turn, 10))
    assert second.finished.cached_tokens > 2_000
    assert again.counts.evaluated_tokens - before < 100
    fresh = make_engine(sequences=1, context_tokens=4_096)
    assert_same(collect(ask(fresh, turn, 10)), second)


def test_another_setup_finds_nothing(make_engine: MakeEngine, tmp_path: Path) -> None:
    engine = make_engine(context_tokens=1_024, disk_cache_directory=tmp_path)
    tokens = prompt(engine, 600)
    collect(ask(engine, tokens, 4))
    assert engine.stop()
    other = make_engine(context_tokens=1_024, disk_cache_directory=tmp_path, sequences=2)
    assert collect(ask(other, tokens, 4)).finished.cached_tokens == 0


def test_what_is_damaged_is_not_read(make_engine: MakeEngine, tmp_path: Path) -> None:
    options = {"context_tokens": 1_024, "disk_cache_directory": tmp_path}
    engine = make_engine(**options)
    tokens = prompt(engine, 600)
    whole = collect(ask(engine, tokens, 8))
    assert engine.stop()
    values = [path for path in tmp_path.rglob("*.val")]
    assert len(values) == 1
    content = bytearray(values[0].read_bytes())
    content[len(content) // 2] ^= 1
    values[0].write_bytes(content)
    again = make_engine(**options)
    reply = collect(ask(again, tokens, 8))
    assert reply.finished.cached_tokens == 0
    assert_same(whole, reply)


def test_the_disk_cache_stays_within_its_size(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 3_000_000, b"k" * 32)
    disk.open()
    for number in range(12):
        disk.save(snapshot([number] * 300, size=500_000))
    disk.close()
    again = DiskCache(tmp_path, 3_000_000, b"k" * 32)
    again.open()
    assert 1 <= len(again) <= 7
    again.close()


def test_a_directory_that_cannot_be_had_is_no_failure(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    engine = make_engine(disk_cache_directory=tmp_path / "file")
    assert collect(ask(engine, prompt(engine, 300), 2)).finished.completion_tokens == 2


def test_fingerprints_differ(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"a" * 5_000_000)
    other.write_bytes(b"a" * 2_500_000 + b"b" * 2_500_000)
    assert fingerprint(one) == fingerprint(one)
    assert len({fingerprint(one), fingerprint(other), fingerprint(one, 2)}) == 3
