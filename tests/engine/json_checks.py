"""Whether a value is what a schema says, for the keywords that the grammar keeps."""

from __future__ import annotations

import re
from typing import Any

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "null": (type(None),), "array": (list,), "object": (dict,),
}  # fmt: skip
_FORMATS = {
    "date": r"\d{4}-\d\d-\d\d",
    "time": r"\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:\d\d)",
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:\d\d)",
    "uuid": r"[\da-fA-F]{8}(-[\da-fA-F]{4}){3}-[\da-fA-F]{12}",
}


def accepts(schema: Any, value: Any, root: Any = None) -> bool:
    """Whether the value keeps the schema."""
    root = schema if root is None else root
    if schema is True:
        return True
    if "$ref" in schema:
        return accepts(_target(root, schema["$ref"]), value, root)
    if "anyOf" in schema:
        return any(accepts(each, value, root) for each in schema["anyOf"])
    if "allOf" in schema:
        return all(accepts(each, value, root) for each in schema["allOf"])
    if "const" in schema:
        return bool(schema["const"] == value)
    if "enum" in schema:
        return value in schema["enum"]
    return _keeps_type(schema, value) and _keeps_parts(schema, value, root)


def _target(root: Any, ref: str) -> Any:
    for part in ref.split("/")[1:]:
        root = root[part]
    return root


def _keeps_type(schema: Any, value: Any) -> bool:
    names = schema.get("type")
    if names is None:
        return True
    names = names if isinstance(names, list) else [names]
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, _KINDS[name]) for name in names)


def _keeps_parts(schema: Any, value: Any, root: Any) -> bool:
    if isinstance(value, str):
        known = _FORMATS.get(schema.get("format", ""), "(?s).*")
        long = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        return long and re.fullmatch(known, value) is not None
    if isinstance(value, list):
        if "prefixItems" in schema:
            parts = schema["prefixItems"]
            pairs = zip(parts, value, strict=True)
            return len(parts) == len(value) and all(accepts(*each, root) for each in pairs)
        long = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return long and all(accepts(schema.get("items", True), each, root) for each in value)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        more = schema.get("additionalProperties", True)
        return set(schema.get("required", ())) <= set(value) and all(
            accepts(known.get(key, more), each, root) for key, each in value.items()
        )
    return True
