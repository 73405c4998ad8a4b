"""What a command was asked, as a store has it: JSON, which goes to its module as it is.

Invariant: the host reads none of it unless somebody looks into it, so that an upload of megabytes
is not read and written again on its way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

_NO_FILES = b',"files":[]}'  # what records of earlier versions end in


class StoredPayload(Mapping[str, Any]):
    """A payload, of which `pieces` are the JSON."""

    def __init__(self, asked: Sequence[bytes], files: Sequence[bytes]) -> None:
        """From the JSON of the payload without its files, and that of the list of these."""
        *before, last = asked
        last = last.removesuffix(_NO_FILES) if last.endswith(_NO_FILES) else last[:-1]
        self.pieces = [*before, last, b',"files":', *files, b"}"]

    @cached_property
    def _read(self) -> dict[str, Any]:
        return dict(json.loads(b"".join(self.pieces)))

    def __bool__(self) -> bool:
        return True  # it is there: nobody needs to count what is in it

    def __getitem__(self, key: str) -> Any:
        return self._read[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)
