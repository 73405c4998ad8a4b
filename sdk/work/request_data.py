"""One request's inputs: values, files, path segments.

Invariant: an absent value gives the default; a value that is there but does not parse raises a
`RequestError` that names the field, never a silent default.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, overload

from sdk.host.errors import RequestError
from sdk.host.wire import Work, decode_object
from sdk.work.values import Number, as_text, finite_number, truth, whole_number, within


class RequestData:
    """What a client sent. Made by the SDK for `process()`; self-tests may build their own."""

    def __init__(self, json_request_data: str | None = None) -> None:
        """From the JSON text of a queue item, or empty. Raises ValueError if it is no such JSON."""
        item = decode_object(json_request_data) if json_request_data else {}
        self.request_id = str(item.get("reqid") or "")
        self.payload = _complete(item.get("payload"))

    @classmethod
    def from_work(cls, work: Work) -> RequestData:
        data = cls()
        data.request_id = work.request_id
        data.payload = _complete(work.payload)
        return data

    @property
    def queue(self) -> str:
        return str(self.payload.get("queue") or "")

    @queue.setter
    def queue(self, queue_name: str) -> None:
        self.payload["queue"] = queue_name

    @property
    def command(self) -> str:
        return str(self.payload.get("command") or "")

    @command.setter
    def command(self, command_name: str) -> None:
        self.payload["command"] = command_name

    @property
    def segments(self) -> list[str]:
        """The rest of the path after the route, as the client called it."""
        segments = self.payload.get("urlSegments")
        return [str(item) for item in segments] if isinstance(segments, list) else []

    @segments.setter
    def segments(self, segments: list[str]) -> None:
        self.payload["urlSegments"] = segments

    @property
    def value_list(self) -> list[dict[str, Any]]:
        values: list[dict[str, Any]] = self.payload["values"]
        return values

    @property
    def files(self) -> list[dict[str, Any]]:
        files: list[dict[str, Any]] = self.payload["files"]
        return files

    def json(self) -> str:
        return json.dumps({"reqid": self.request_id, "payload": self.payload})

    def add_value(self, key: str, value: object) -> None:
        if key:
            self.value_list.append({"key": key, "value": [value]})

    def add_file(self, file_name: str) -> None:
        """Adds a file's content. Raises OSError if it cannot be read."""
        path = Path(file_name)
        content = base64.b64encode(path.read_bytes()).decode("ascii")
        self.files.append({"name": path.stem, "filename": path.name, "data": content})

    @overload
    def get_value(self, key: str, default: str) -> str: ...
    @overload
    def get_value(self, key: str, default: None = None) -> str | None: ...
    def get_value(self, key: str, default: str | None = None) -> str | None:
        """The first value under `key` as text, or `default`."""
        values = next(self._values_under(key), None)
        return default if not values or values[0] is None else as_text(values[0])

    def get_values(self, key: str) -> list[str]:
        """All values under a key, as a form with several fields of one name sends them."""
        return [as_text(one) for values in self._values_under(key) for one in values]

    @overload
    def get_int(
        self, key: str, default: int, *, minimum: int | None = ..., maximum: int | None = ...
    ) -> int: ...
    @overload
    def get_int(
        self, key: str, default: None = ..., *, minimum: int | None = ..., maximum: int | None = ...
    ) -> int | None: ...
    def get_int(
        self,
        key: str,
        default: int | None = None,
        *,
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> int | None:
        """A whole number. A blank value counts as absent; RequestError if it is anything else."""
        text = self._filled_value(key)
        if text is None:
            return default
        return within(key, whole_number(key, text), minimum, maximum)

    @overload
    def get_float(
        self, key: str, default: float, *, minimum: float | None = ..., maximum: float | None = ...
    ) -> float: ...
    @overload
    def get_float(
        self,
        key: str,
        default: None = ...,
        *,
        minimum: float | None = ...,
        maximum: float | None = ...,
    ) -> float | None: ...
    def get_float(
        self,
        key: str,
        default: float | None = None,
        *,
        minimum: float | None = None,
        maximum: float | None = None,
    ) -> float | None:
        """A finite number. A blank value counts as absent; RequestError if it is anything else."""
        text = self._filled_value(key)
        if text is None:
            return default
        return within(key, finite_number(key, text), minimum, maximum)

    @overload
    def get_bool(self, key: str, default: bool) -> bool: ...
    @overload
    def get_bool(self, key: str, default: None = None) -> bool | None: ...
    def get_bool(self, key: str, default: bool | None = None) -> bool | None:
        """true/yes/on/1 or false/no/off/0, in any case. RequestError if it is anything else."""
        text = self._filled_value(key)
        return default if text is None else truth(key, text)

    def get_file_bytes(self, index: int) -> bytes | None:
        """The content of one uploaded file, None if there are fewer. RequestError if garbled."""
        if not 0 <= index < len(self.files):
            return None
        item = self.files[index]
        data = item.get("data") if isinstance(item, dict) else None
        try:
            if isinstance(data, str):
                return base64.b64decode(data, validate=True)
        except binascii.Error:
            pass
        raise RequestError(f"file {index}", "base64 data", data)

    def get_image(self, index: int) -> Any:
        """One uploaded file as an RGB Pillow image, or None. The module's requirements must have
        Pillow; ImportError if not."""
        content = self.get_file_bytes(index)
        if content is None:
            return None
        pillow = importlib.import_module("PIL.Image")
        try:
            with pillow.open(io.BytesIO(content)) as image:
                return image.convert("RGB")
        except (OSError, pillow.DecompressionBombError) as error:
            raise RequestError(f"file {index}", "an image", str(error)) from error

    @staticmethod
    def clamp(value: Number, min_value: Number, max_value: Number) -> Number:
        return max(min(max_value, value), min_value)

    @staticmethod
    def restrict(value: str, values: list[str], default_value: str) -> str:
        return value if value in values else default_value

    def _values_under(self, key: str) -> Iterator[list[Any]]:
        for item in self.value_list:
            if isinstance(item, dict) and item.get("key") == key:
                value = item.get("value")
                yield value if isinstance(value, list) else [value]

    def _filled_value(self, key: str) -> str | None:
        """The value without surrounding blanks; None if nothing is left, as in an empty field."""
        return (self.get_value(key) or "").strip() or None


def _complete(payload: object) -> dict[str, Any]:
    """A payload that surely has its two lists."""
    complete = dict(payload) if isinstance(payload, dict) else {}
    for key in ("values", "files"):
        if not isinstance(complete.get(key), list):
            complete[key] = []
    return complete
