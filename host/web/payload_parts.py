"""The values and files of one request, as they are found in its body and its query.

Invariant: adding takes the same time whatever is there already, and ends at the limits: nothing is
built of what is beyond them.
"""

from __future__ import annotations

from host.web.errors import RequestRefused, bad_field
from host.web.fields import MAX_NAME_CHARS
from host.wire import File, Payload, Value

MAX_FIELDS = 1000  # values, of all fields together
MAX_FILES = 100


class PayloadParts:
    """Collects in the order in which things come; a name that was there gets one more value."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}
        self._files: list[File] = []
        self._left = MAX_FIELDS

    def add(self, name: str, value: str) -> None:
        """One value. Raises RequestRefused (400)."""
        self._left -= 1
        if self._left < 0:
            raise too_many_fields("more")
        if len(name) > MAX_NAME_CHARS:
            raise bad_field(name, f"a name of at most {MAX_NAME_CHARS} characters", str(len(name)))
        self._values.setdefault(name, []).append(value)

    def add_file(self, file: File) -> None:
        """One file. Raises RequestRefused (400)."""
        if len(self._files) >= MAX_FILES:
            raise bad_field("files", f"at most {MAX_FILES} files", "more")
        self._files.append(file)

    def first_values(self) -> dict[str, str]:
        """The first value under each name."""
        return {name: values[0] for name, values in self._values.items()}

    def payload(self, queue: str, command: str, segments: list[str]) -> Payload:
        """What a module reads."""
        values: list[Value] = [{"key": key, "value": one} for key, one in self._values.items()]
        return {
            "queue": queue,
            "command": command,
            "urlSegments": segments,
            "values": values,
            "files": self._files,
        }


def too_many_fields(got: str) -> RequestRefused:
    """400 that says how many there may be."""
    return bad_field("body", f"at most {MAX_FIELDS} fields and values", got)
