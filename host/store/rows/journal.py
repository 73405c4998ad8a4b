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

from host.channels import Output, Piece
from host.commands import Command
from host.json_pieces import json_bytes

ENOUGH_BYTES = 4 * 2**20  # then it is put into the tables

News = tuple[Command, Command]  # as it was noted last, and as it is now


class Journal:
    """`is_synced`: it is on the disk when `add` returns."""

    def __init__(self, file: Path, is_synced: bool) -> None:
        self._file = file
        self._is_synced = is_synced
        self.size = 0

    def add(self, news: Iterable[News]) -> None:
        """Note what is new. Raises OSError, and then nothing is noted."""
        data = b"".join(_line(*one) + b"\n" for one in news)
        with open(os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.seek(self.size)
            file.write(data)
            file.flush()
            if self._is_synced:
                os.fsync(file)
        self.size += len(data)

    def complete(self, commands: Mapping[int, Command]) -> None:
        """Give running commands what the tables do not have. Raises OSError."""
        self.size = 0
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

    def clear(self) -> None:
        """Its lines are in the tables now."""
        with suppress(OSError):
            os.truncate(self._file, 0)
            self.size = 0


def _line(noted: Command, now: Command) -> bytes:
    at = noted.output.length
    fields = {} if noted.fields == now.fields else now.fields
    pieces = [list(one) for one in now.output.since(at)]
    return json_bytes([now.number, now.attempt, at, pieces, now.stop_wish, fields])
