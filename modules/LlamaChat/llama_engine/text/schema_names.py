"""`propertyNames` as a pattern of names, which is how llguidance can keep them.

Invariant: a name that the pattern matches is one that the schema accepts.
"""

from __future__ import annotations

import re
from typing import Any

from llama_engine.text.schema_formats import FORMATS

_ANNOTATIONS = frozenset("type title description default examples $comment deprecated".split())


def names_pattern(schema: Any) -> str | None:
    """The pattern of a schema for names; None where it has other, or several, keywords."""
    if not isinstance(schema, dict) or schema.get("type", "string") != "string":
        return None
    said = {keyword: value for keyword, value in schema.items() if keyword not in _ANNOTATIONS}
    if not said:
        return ""
    if said.keys() <= {"minLength", "maxLength"}:
        return _length(said.get("minLength", 0), said.get("maxLength", ""))
    if len(said) > 1:
        return None
    keyword, value = said.popitem()
    if keyword == "pattern" and isinstance(value, str):
        return value
    if keyword == "format" and isinstance(value, str):
        return FORMATS.get(value)
    return _constants([value] if keyword == "const" else value) if keyword in _VALUES else None


_VALUES = ("const", "enum")


def _length(least: Any, most: Any) -> str | None:
    if not isinstance(least, int) or not (most == "" or isinstance(most, int)):
        return None
    return rf"^[\s\S]{{{least},{most}}}$"


def _constants(values: Any) -> str | None:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return None
    return "^(?:" + "|".join(re.escape(value) for value in values) + ")$"
