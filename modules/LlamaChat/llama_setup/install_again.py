"""What a person does to have this module installed again, by the way in which it was installed."""

from __future__ import annotations

import os
from pathlib import Path

MODULE_PATH = Path(__file__).resolve().parents[1]


def install_again(module_path: Path = MODULE_PATH) -> str:
    """A sentence without its end; the commands in it may be given options."""
    root = module_path.parent.parent
    if (root / "__main__.py").is_file():  # the import package of pip, pipx or uv
        return "Run llamachat setup"
    script, command = ("install.bat",) * 2 if os.name == "nt" else ("install.sh", "./install.sh")
    return f"Run {command} in {root}" if (root / script).is_file() else "Install the module again"
