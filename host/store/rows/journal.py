"""What running commands put out, in a file beside the database: appended, and nothing else.

A database writes whole pages for a few words. Invariants: a line is here until its text is in the
tables; one that is not whole ends what is read, and the next is written over it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from host.channels import Output, Piece
from host.commands import Command
from host.store.rows.records import as_json

ENOUGH_BYTES = 4 * 2**20  # then it is put into the tables


class _Noted(NamedTuple):
    """What the file has of a command."""

    attempt: str | None = None
    length: int = 0
    fields: dict[str, Any] | None = None


class Journal:
    """`is_synced`: it is on the disk when `add` returns."""

    def __init__(self, file: Path, is_synced: bool) -> None:
        self._file = file
        self._is_synced = is_synced
        self._noted: dict[int, _Noted] = {}
        self.size = 0

    def add(self, commands: Iterable[Command]) -> None:
        """Note what is new in these. Raises OSError, and then nothing is noted."""
        data = "".join(f"{self._line(one)}\n" for one in commands).encode()
        file = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.lseek(file, self.size, os.SEEK_SET)
            at = 0
            while at < len(data):  # a full disk takes a part, and says why at the next
                at += os.write(file, data[at:])
            if self._is_synced:
                os.fsync(file)
        finally:
            os.close(file)
        self.size += len(data)
        self._note(commands)

    def _note(self, commands: Iterable[Command]) -> None:
        for one in commands:
            self._noted[one.number] = _Noted(one.attempt, one.output.length, one.fields)

    def forget(self, commands: Iterable[Command]) -> None:
        """Of those that have ended nothing more will come."""
        for one in commands:
            if one.state.is_terminal:
                self._noted.pop(one.number, None)

    def _line(self, command: Command) -> str:
        noted = self._noted.get(command.number, _Noted())
        if noted.attempt != command.attempt:
            noted = _Noted()
        pieces = [list(one) for one in command.output.since(noted.length)]
        more = {} if noted.fields == command.fields else command.fields
        line = [command.number, command.attempt, noted.length, pieces, command.stop_wish, more]
        return as_json(line)

    def complete(self, commands: Mapping[int, Command]) -> None:
        """Give running commands what the tables do not have. Raises OSError."""
        with suppress(FileNotFoundError, ValueError), self._file.open("rb") as file:
            for line in file:
                number, attempt, at, pieces, wish, fields = json.loads(line)
                self.size += len(line)
                command = commands.get(number)
                if command is None or command.attempt != attempt:
                    continue
                command.stop_wish, command.fields = wish, fields or command.fields
                if at <= command.output.length:  # a part of it may be in the tables
                    new = Output.of(Piece(*one) for one in pieces)
                    for piece in new.since(command.output.length - at):
                        command.output = command.output.grown(*piece)
        self._note(commands.values())

    def clear(self) -> None:
        """Its lines are in the tables now."""
        with suppress(OSError):
            os.truncate(self._file, 0)
            self.size = 0
