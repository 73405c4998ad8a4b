"""Long prefixes on disk, for the time after a restart.

Invariant: what is read back is what was written (a digest is checked before llama.cpp sees it), for
the same model opened in the same way (both are in the key). One thread of its own does all reading
and writing; the engine's never waits for the disk.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from array import array
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import diskcache  # type: ignore[import-untyped]
import numpy as np

from llama_engine.memory.snapshots import Snapshot, SnapshotStore
from llama_engine.text.tokens import Tokens, common_length, view

logger = logging.getLogger(__name__)

WORTH_TOKENS = 256
"""A shorter prefix is evaluated sooner than it is read."""
_DIGEST_BYTES = 32
_FAULTS = (OSError, sqlite3.Error, diskcache.Timeout)
"""What a disk, or the database on it, may answer with."""
_MOST_PENDING = 4
"""Writes that may wait; while the disk is that far behind, prefixes are not kept on it."""
_SAMPLE_BYTES = 64 * 1024
_SAMPLES = 32


def fingerprint(path: Path, *setup: object) -> bytes:
    """A key for a model file and how it is opened. Reads samples spread over the file."""
    digest = hashlib.sha256()
    size = path.stat().st_size
    with path.open("rb") as file:
        for sample in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    digest.update(repr((size, setup)).encode())
    return digest.digest()


class DiskCache:
    """Snapshots in a directory, the oldest leaving when there are too many bytes. (Each turn of a
    conversation is written anew, and takes the place of the turn before.)

    The key of an entry is the fingerprint and the tokens, its value a digest and the cells.
    """

    def __init__(self, directory: Path, limit_bytes: int, model_key: bytes) -> None:
        self._directory = directory
        self._limit = limit_bytes
        self._model_key = model_key
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llama-disk")
        self._cache: Any = None
        self._index: dict[bytes, array[int]] = {}
        """Tokens by key; replaced, never changed, so that any thread may read it."""
        self._pending = 0

    def open(self) -> None:
        """Open the directory and read what is there. Raises OSError."""
        try:
            self._worker.submit(self._open).result()
        except _FAULTS as ex:
            self._worker.shutdown()
            raise OSError(f"{self._directory} cannot be used: {ex}") from ex

    def close(self) -> None:
        """Finish writing, and close."""
        self._worker.submit(self._close)
        self._worker.shutdown(wait=True)

    def __len__(self) -> int:
        return len(self._index)

    def find(self, tokens: Tokens, can_cut: bool) -> tuple[bytes | None, int]:
        """The entry with most in common with a prompt, and how much that is."""
        best: tuple[bytes | None, int] = (None, 0)
        for key, kept in self._index.items():
            length = common_length(view(kept), tokens)
            if length > best[1] and (can_cut or length == len(kept)):
                best = (key, length)
        return best

    def load(self, key: bytes, into: SnapshotStore, then: Callable[[], None]) -> Future[None]:
        """Read an entry into memory; `then` is called when that is done, well or not."""
        future = self._worker.submit(self._load, key, into)
        future.add_done_callback(lambda _: then())
        return future

    def is_worth_saving(self, tokens: Tokens) -> bool:
        """Whether a prefix is long, and much of it not kept yet."""
        if len(tokens) < WORTH_TOKENS or self._pending >= _MOST_PENDING:
            return False
        return self.find(tokens, can_cut=True)[1] + WORTH_TOKENS // 4 < len(tokens)

    def save(self, snapshot: Snapshot) -> None:
        """Write a snapshot some time soon."""
        self._pending += 1
        self._worker.submit(self._save, snapshot)

    def _open(self) -> None:
        self._cache = diskcache.Cache(
            str(self._directory),
            eviction_policy="none",
            disk_min_file_size=_SAMPLE_BYTES,
        )
        self._reindex()

    def _close(self) -> None:
        if self._cache is not None:
            self._cache.close()

    def _reindex(self) -> None:
        """Learn which entries are there: diskcache drops old ones by itself."""
        start = len(self._model_key)
        keys = [key for key in self._cache if isinstance(key, bytes)]
        self._index = {
            key: array("i", key[start:]) for key in keys if key[:start] == self._model_key
        }

    def _load(self, key: bytes, into: SnapshotStore) -> None:
        try:
            value = self._cache.get(key)
        except _FAULTS as ex:
            logger.warning("A kept prefix cannot be read: %s", ex)
            value = None
        tokens = self._index.get(key)
        if value is None or tokens is None or not _is_whole(value):
            logger.warning("A kept prefix is damaged or gone, and is dropped")
            self._drop(key)
            return
        into.add(Snapshot(tokens, np.frombuffer(value, np.uint8, offset=_DIGEST_BYTES)))

    def _save(self, snapshot: Snapshot) -> None:
        key = self._model_key + snapshot.tokens.tobytes()
        data = snapshot.data.tobytes()
        try:
            for other in self._index:
                if key.startswith(other):
                    self._cache.delete(other)
            if self._make_room(len(data)):
                self._cache.set(key, _digest(data) + data)
            self._reindex()
        except _FAULTS as ex:
            logger.warning("A prefix cannot be kept on disk: %s", ex)
        finally:
            self._pending -= 1

    def _make_room(self, size: int) -> bool:
        """Delete the oldest entries, of whatever model, until so many bytes fit."""
        for key in list(self._cache):
            if self._cache.volume() + size <= self._limit:
                break
            self._cache.delete(key)
        return bool(self._cache.volume() + size <= self._limit)

    def _drop(self, key: bytes) -> None:
        try:
            self._cache.delete(key)
        except _FAULTS as ex:
            logger.warning("A kept prefix cannot be deleted: %s", ex)
        self._index = {other: kept for other, kept in self._index.items() if other != key}


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _is_whole(value: object) -> bool:
    return (
        isinstance(value, bytes)
        and len(value) > _DIGEST_BYTES
        and value[:_DIGEST_BYTES] == _digest(value[_DIGEST_BYTES:])
    )
