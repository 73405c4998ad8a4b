"""Records of commands in a diskcache (SQLite) folder: the part that waits for the disk.

Invariants: what one `write` is given is on disk whole or not at all; nothing leaves by itself but
ended commands, by their age and, the oldest first, for the bytes; nobody but the user can read it.
Only one thread writes; others may read meanwhile.

Keys: `log:NUMBER` (live commands, see live_log.py), `ended:ID`, `files:ID` (uploads of a live
command), `key:KEY` (the id of the ended command that an idempotency key started), `tally:QUEUE`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import diskcache  # type: ignore[import-untyped]
from diskcache.core import DBNAME  # type: ignore[import-untyped]

from host.commands import Command
from host.store.data_dir import make_private_dir, make_private_file
from host.store.live_log import ENDED, LiveLog
from host.store.protocol import StoreUnavailable
from host.store.records import BrokenRecord, decode, encode

_log = logging.getLogger(__name__)

Durability = Literal["process", "power"]

_INLINE_BYTES = 2**40  # all in the database: a file beside it is no part of a transaction
_SYNCHRONOUS = {"process": 1, "power": 2}  # NORMAL, FULL: https://sqlite.org/pragma.html
_TRIMMED_TO = 0.9  # of the bytes allowed, once they are exceeded
_TRIMMED_AT_ONCE = 1000
_FAULTS = (sqlite3.Error, OSError, diskcache.Timeout)


class DiskBroken(Exception):
    """The database is damaged, or gone: it is of no use any more, and a new one is needed."""


@dataclass
class Kept:
    """What was on disk: the commands that had not ended, and the queues' counts."""

    live: list[Command] = field(default_factory=list)
    tallies: dict[str, dict[str, Any]] = field(default_factory=dict)


class CommandDisk:
    """One folder. `keep_s` and `max_bytes` bound what is kept of ended commands."""

    def __init__(
        self, folder: Path, *, durability: Durability, keep_s: float, max_bytes: int
    ) -> None:
        self._folder = folder
        self._durability = durability
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._with_files: set[str] = set()  # ids of live commands whose uploads are on disk
        self._cache: diskcache.Cache
        self._log: LiveLog
        self._is_log_known = True

    def open(self) -> Kept:
        """Open or make the database, and read what is live. Raises StoreUnavailable.

        A damaged database is set aside under another name.
        """
        try:
            try:
                return self._open()
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise
                self._set_aside(error)
                return self._open()
        except _FAULTS as error:
            raise self._unavailable("open", error) from error

    def start_anew(self, commands: Iterable[Command], reason: str) -> None:
        """Set a damaged database aside, and write everything that is known into a new one.

        Raises StoreUnavailable.
        """
        try:
            self._set_aside(reason)
            self._open()
        except _FAULTS as error:
            raise self._unavailable("open", error) from error
        self.write(commands)

    def write(
        self,
        commands: Iterable[Command],
        erased: Iterable[Command] = (),
        tallies: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Keep and erase in one transaction. Raises StoreUnavailable, DiskBroken."""
        if not (self._folder / DBNAME).exists():  # SQLite would go on with what nobody can find
            raise DiskBroken("it was removed")
        try:
            self._know_log()
            with self._cache.transact():
                self._write_records(list(commands))
                for command in erased:
                    self._log.clean(command.id)
                    self._remove(command.id, command.idempotency_key)
                for queue, tally in (tallies or {}).items():
                    self._cache.set(f"tally:{queue}", json.dumps(tally))
        except _FAULTS as error:
            self._drop_connection()
            if isinstance(error, sqlite3.Error) and _is_damage(error):
                raise DiskBroken(str(error)) from error
            raise self._unavailable("write to", error) from error

    def load(self, command_id: str) -> Command | None:
        """An ended command. Raises StoreUnavailable."""
        try:
            text = self._cache.get(f"ended:{command_id}")
        except _FAULTS as error:
            raise self._unavailable("read", error) from error
        if text is None:
            return None
        try:
            return decode(text)
        except BrokenRecord as error:
            _log.error("the kept record of command %s cannot be read: %s", command_id, error)
            return None

    def load_first(self, idempotency_key: str) -> Command | None:
        """The ended command that a key started. Raises StoreUnavailable."""
        try:
            command_id = self._cache.get(f"key:{idempotency_key}")
        except _FAULTS as error:
            raise self._unavailable("read", error) from error
        return None if command_id is None else self.load(str(command_id))

    def tidy(self) -> bool:
        """Remove what has been kept long enough, and the oldest when there are too many bytes.

        True when there is more to remove: it takes a part at a time. Raises StoreUnavailable.
        """
        try:
            self._know_log()
            with self._cache.transact():
                self._log.clean()
            if self._cache.expire():
                self.scrub()
            excess = self._cache.volume() - self._max_bytes
            if excess <= 0:
                return False
            return self._trim(excess + int(self._max_bytes * (1 - _TRIMMED_TO)))
        except _FAULTS as error:
            self._drop_connection()
            raise self._unavailable("tidy", error) from error

    def scrub(self) -> None:
        """Empty the write-ahead log, which has what was erased still. Raises StoreUnavailable."""
        try:
            self._cache.reset("sqlite_wal_checkpoint", "TRUNCATE", update=False)
        except _FAULTS as error:
            self._drop_connection()
            raise self._unavailable("tidy", error) from error

    def close(self) -> None:
        """Let go of the calling thread's connection; each thread that called closes its own."""
        self._cache.close()

    # -- writing ------------------------------------------------------------------------------

    def _know_log(self) -> None:
        """After a fault, nobody knows what is on disk: look."""
        if not self._is_log_known:
            self._with_files = {one for one in self._log.load() if f"files:{one}" in self._cache}
            self._is_log_known = True

    def _write_records(self, commands: list[Command]) -> None:
        ended = [command for command in commands if command.state.is_terminal]
        live = [command for command in commands if not command.state.is_terminal]
        ends = [(command.id, ENDED) for command in ended if command.id in self._log]
        self._log.put([*((command.id, self._record(command)) for command in live), *ends])
        for command in ended:
            self._write_ended(command)

    def _record(self, command: Command) -> str:
        """A live command's record; its uploads are large, and written once, beside it."""
        files = command.payload["files"]
        if not files:
            return encode(command)
        if command.id not in self._with_files:
            self._cache.set(f"files:{command.id}", json.dumps(files))
            self._with_files.add(command.id)
        return encode(command, with_files=False)

    def _write_ended(self, command: Command) -> None:
        if command.id in self._with_files:
            self._cache.delete(f"files:{command.id}")
            self._with_files.discard(command.id)
        expire_s = (command.finished_at or 0.0) + self._keep_s - time.time()
        if command.idempotency_key:
            self._cache.set(f"key:{command.idempotency_key}", command.id, expire=expire_s)
        self._cache.set(f"ended:{command.id}", encode(command), expire=expire_s)

    def _remove(self, command_id: str, idempotency_key: str | None) -> None:
        self._cache.delete(f"ended:{command_id}")
        if idempotency_key and self._cache.get(f"key:{idempotency_key}") == command_id:
            self._cache.delete(f"key:{idempotency_key}")

    def _trim(self, excess: int) -> bool:
        """Remove ended commands until that many bytes are free, the oldest first; True: go on.

        A row is written when its command ends, and rows are listed in the order of writing.
        """
        removed = 0
        with self._cache.transact():
            for key in self._cache:
                if excess <= 0 or removed >= _TRIMMED_AT_ONCE:
                    break
                if not key.startswith("ended:"):
                    continue
                text = self._cache.get(key) or ""
                self._remove(key.removeprefix("ended:"), _key_in(text))
                excess -= len(text)
                removed += 1
        if removed:
            _log.info("removed the %d oldest ended commands: the store is full", removed)
        return removed >= _TRIMMED_AT_ONCE

    # -- opening ------------------------------------------------------------------------------

    def _open(self) -> Kept:
        make_private_dir(self._folder)
        make_private_file(self._folder / DBNAME)  # SQLite gives its other files the same mode
        self._cache = diskcache.Cache(
            str(self._folder),
            eviction_policy="none",
            cull_limit=0,
            statistics=0,
            disk_min_file_size=_INLINE_BYTES,
            sqlite_secure_delete=1,
            sqlite_synchronous=_SYNCHRONOUS[self._durability],
        )
        kept = Kept()
        for key in takewhile(lambda key: key >= "tally:", self._cache.iterkeys(reverse=True)):
            kept.tallies[key.removeprefix("tally:")] = json.loads(self._cache.get(key))
        self._log = LiveLog(self._cache)
        self._is_log_known = True
        self._with_files.clear()
        for command_id, text in self._log.load().items():
            self._read_live(command_id, text, kept)
        return kept

    def _read_live(self, command_id: str, text: str, kept: Kept) -> None:
        try:
            command = decode(text)
            files = self._cache.get(f"files:{command_id}")
            if files is not None:
                command.payload["files"] = json.loads(files)
                self._with_files.add(command_id)
            kept.live.append(command)
        except (BrokenRecord, ValueError) as error:
            self._set_record_aside(command_id, text, error)

    def _set_record_aside(self, command_id: str, text: str, error: Exception) -> None:
        file = self._folder.with_name("records.broken")
        make_private_file(file)
        with file.open("a", encoding="utf-8", errors="backslashreplace") as broken:
            broken.write(f"{command_id} {text}\n")
        with self._cache.transact():
            self._log.put([(command_id, ENDED)])
            self._log.clean(command_id)
        _log.error(
            "the record of command %s cannot be read (%s): it is set aside in %s",
            command_id,
            error,
            file,
        )

    def _set_aside(self, reason: object) -> None:
        self._drop_connection()
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = self._folder.with_name(f"{self._folder.name}.broken-{stamp}-{os.getpid()}")
        if self._folder.exists():
            shutil.move(self._folder, aside)
        _log.error(
            "the database in %s cannot be used (%s): a new one begins, what there was is in %s",
            self._folder,
            reason,
            aside,
        )

    def _drop_connection(self) -> None:
        """After a fault: a transaction that hangs on the connection ends with it."""
        self._is_log_known = False
        cache = getattr(self, "_cache", None)
        if cache is not None:
            cache.close()

    def _unavailable(self, verb: str, error: BaseException) -> StoreUnavailable:
        return StoreUnavailable(f"cannot {verb} the store in {self._folder}: {error}")


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the database itself is at fault, rather than the disk or its permissions."""
    if isinstance(error, sqlite3.OperationalError):
        return str(error).startswith(("no such", "table "))  # somebody else's database
    return isinstance(error, sqlite3.DatabaseError)


def _key_in(text: str) -> str | None:
    try:
        return decode(text).idempotency_key
    except BrokenRecord:
        return None
