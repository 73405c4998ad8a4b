"""`llamachat new`: a module to begin with, which answers at the host's next start.

Invariant: nothing that is there is overwritten. The page's form has a field for each of the route's
inputs, by its type.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).parent / "module_template"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_FIELD_TYPES = {"Integer": "number", "Float": "number", "Boolean": "checkbox", "File": "file"}


class NewModuleError(Exception):
    """A module that cannot be made: what was expected, what came."""


def new_module(modules_dir: Path, name: str) -> Path:
    """Write the folder of a module of that name, and return it. Raises NewModuleError, OSError."""
    if not _NAME.fullmatch(name):
        raise NewModuleError(
            f"expected a name of letters, digits and _, a letter first, got {name!r}"
        )
    folder = modules_dir / name
    if folder.exists():
        raise NewModuleError(f"expected no folder at {folder}, found one: choose another name")
    folder.mkdir(parents=True)
    settings = _filled("modulesettings.json", name)
    (folder / "modulesettings.json").write_text(settings, encoding="utf-8")
    adapter = folder / f"{name.lower()}_adapter.py"
    adapter.write_text(_filled("adapter.py.txt", name), encoding="utf-8")
    (route,) = json.loads(settings)["Modules"][name]["RouteMaps"]
    page = _filled("explore.html", name).replace("__FORM__", form(route["Inputs"]))
    (folder / "explore.html").write_text(page, encoding="utf-8")
    return folder


def form(inputs: list[dict[str, Any]]) -> str:
    """The fields of a form, one for each of a route's inputs."""
    return "\n".join(_field(one) for one in inputs)


def _field(declared: dict[str, Any]) -> str:
    name, default = html.escape(declared["Name"]), html.escape(str(declared.get("Default", "")))
    kind = _FIELD_TYPES.get(declared["Type"], "text")
    limits = "".join(
        f' {attribute}="{declared[key]}"'
        for attribute, key in (("min", "Minimum"), ("max", "Maximum"))
        if key in declared
    )
    step = ' step="any"' if declared["Type"] == "Float" else ""
    field = f'<input type="{kind}" name="{name}" value="{default}"{limits}{step}>'
    return f"  <label>{html.escape(declared['Description'])} {field}</label>"


def _filled(file: str, name: str) -> str:
    text = (TEMPLATE / file).read_text(encoding="utf-8")
    return text.replace("__NAME__", name).replace("__LOWER__", name.lower())
