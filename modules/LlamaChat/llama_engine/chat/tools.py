"""The tools that a request offers the model, and whether one must be called.

Invariant: every tool here has a name that is its own, and parameters that are a JSON schema's
object. With the choice `none` there are no tools.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llama_engine.errors import ParameterError

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CHOICES = ("auto", "none", "required")
MOST_TOOLS = 128


@dataclass(frozen=True)
class Tools:
    """`listed` is in OpenAI's shape. `demanded` are the names of which one must be called;
    none where the model may do without."""

    listed: tuple[dict[str, Any], ...] = ()
    demanded: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """Name: JSON schema of the arguments."""
        functions = (tool["function"] for tool in self.listed)
        return {one["name"]: one["parameters"] for one in functions}


def read_tools(arguments: Mapping[str, Any]) -> Tools:
    """From `tools` and `tool_choice`. Raises ParameterError."""
    listed = _listed(arguments.get("tools"))
    choice = arguments.get("tool_choice")
    names = tuple(tool["function"]["name"] for tool in listed)
    if choice is None or choice == "auto":
        return Tools(listed)
    if choice == "none":
        return Tools()
    if not listed:
        raise ParameterError("tool_choice", "tools beside it", choice)
    if choice == "required":
        return Tools(listed, names)
    return Tools(listed, (_named(choice, names),))


def _listed(value: Any) -> tuple[dict[str, Any], ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_TOOLS:
        raise ParameterError("tools", f"a list of at most {MOST_TOOLS} tools", value)
    names: set[str] = set()
    for at, tool in enumerate(value):
        name = _checked(tool, f"tools[{at}]")
        if name in names:
            raise ParameterError(f"tools[{at}].function.name", "a name of its own", name)
        names.add(name)
    return tuple(_complete(tool) for tool in value)


def _complete(tool: dict[str, Any]) -> dict[str, Any]:
    """With all that templates write down. No parameters: the tool takes none."""
    function = dict(tool["function"])
    function["description"] = function.get("description") or ""
    function["parameters"] = function.get("parameters") or {"type": "object", "properties": {}}
    return {**tool, "function": function}


def _checked(tool: Any, at: str) -> str:
    """The name of a tool that can be offered."""
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type") != "function":
        raise ParameterError(at, "an object of type function with a function", tool)
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        expected = "1 to 64 of the characters A-Z a-z 0-9 _ . -"
        raise ParameterError(f"{at}.function.name", expected, name)
    if not isinstance(function.get("description", ""), str | None):
        raise ParameterError(f"{at}.function.description", "a text", function["description"])
    if not isinstance(function.get("parameters") or {}, dict):
        expected = "a JSON schema of an object"
        raise ParameterError(f"{at}.function.parameters", expected, function["parameters"])
    return name


def _named(choice: Any, names: tuple[str, ...]) -> str:
    """OpenAI's way to ask for one tool: {"type": "function", "function": {"name": ...}}."""
    function = choice.get("function") if isinstance(choice, Mapping) else None
    if not isinstance(function, Mapping):
        expected = f"{', '.join(_CHOICES)}, or an object of type function with the function's name"
        raise ParameterError("tool_choice", expected, choice)
    name = function.get("name")
    if name not in names:
        raise ParameterError("tool_choice", f"one of the tools ({', '.join(names)})", name)
    return str(name)
