"""A deployment with the patient module, whose commands end when the test says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

MODULE = Path(__file__).with_name("patient_module.py")
SETTINGS = {
    "LaunchSettings": {"FilePath": MODULE.name, "Parallelism": 2},
    "RouteMaps": [{"Route": "patient", "Command": "wait", "LongProcess": True}],
}


def write(root: Path, **server: Any) -> None:
    folder = root / "modules" / "Patient"
    folder.mkdir(parents=True)
    shutil.copy(MODULE, folder)
    modules = json.dumps({"Modules": {"Patient": SETTINGS}})
    (folder / "modulesettings.json").write_text(modules, encoding="utf-8")
    own = json.dumps({"Server": {"Port": 0, "DataDir": "data", **server}})
    (root / "modulesettings.json").write_text(own, encoding="utf-8")


def lets_end(root: Path) -> None:
    (root / "modules" / "Patient" / "go").touch()
