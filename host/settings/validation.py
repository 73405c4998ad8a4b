"""What validation finds, in the words of whoever wrote the settings file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from host.settings.errors import SettingsError, shown
from host.settings.files import Layer, Place, holds

_EXPECTED = {
    "missing": "a value here",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text in quotes",
    "string_too_short": "text that is not empty",
    "list_type": "a list, as in [ ... ]",
    "dict_type": "an object, as in {{ ... }}",
    "model_type": "an object, as in {{ ... }}",
    "extra_forbidden": "another key: this one is unknown",
    "greater_than": "a number above {gt:.15g}",
    "greater_than_equal": "a number of at least {ge:.15g}",
    "less_than_equal": "a number of at most {le:.15g}",
    "literal_error": "one of {expected}",
    "instances": '1 or more, "per-gpu", or a list of objects with variables, one for each instance',
    "store": '"local", "memory", or an address such as redis://localhost:6379/0',
    "pattern": "a regular expression ({why})",
    "origin": "an origin, such as http://localhost:5173 (no path, no *, not null)",
    "network": "an IP address, or a range such as 10.0.0.0/8",
}


def validation_errors(
    error: ValidationError, place: Place, layers: Sequence[Layer]
) -> Iterator[SettingsError]:
    """One SettingsError for each thing that pydantic found.

    `place` is where the validated object stands in its file (such as Modules, LlamaChat); the file
    named is the last one of `layers` that has the value, for it is the one that won.
    """
    for item in error.errors(include_url=False):
        where = (*place, *item["loc"])
        is_missing = item["type"] == "missing"
        template = _EXPECTED.get(item["type"])
        expected = template.format_map(item.get("ctx", {})) if template else item["msg"]
        yield SettingsError(
            _file_of(where, layers),
            key=_path_text(where),
            expected=expected,
            got="nothing" if is_missing else shown(item["input"], _last_name(where)),
        )


def _file_of(where: Place, layers: Sequence[Layer]) -> Path:
    for layer in reversed(layers):
        if holds(layer.content, where):
            return layer.file
    return layers[0].file


def _last_name(where: Place) -> str:
    return next((part for part in reversed(where) if isinstance(part, str)), "")


def _path_text(where: Sequence[Any]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return "".join(parts).lstrip(".")
