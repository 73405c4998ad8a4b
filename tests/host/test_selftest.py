"""`llamachat selftest`: a module tests itself with what a host would give it, and no host."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from test_cli import EXAMPLE, ROOT, llamachat, result

SCRIPT = """
import os, sys
from sdk import ModuleRunner

class Module(ModuleRunner):
    def selftest(self):
        return {"success": os.environ["SAID"] == "this", "error": f"told {os.environ['SAID']}"}

Module().start_loop()
"""


def write_module(root: Path, said: str) -> Path:
    folder = root / "modules" / "Tested"
    folder.mkdir(parents=True)
    module = {
        "LaunchSettings": {"FilePath": "tested.py"},
        "EnvironmentVariables": {"SAID": said},
    }
    settings = json.dumps({"Modules": {"Tested": module}})
    (folder / "modulesettings.json").write_text(settings, encoding="utf-8")
    (folder / "tested.py").write_text(SCRIPT, encoding="utf-8")
    return folder


async def test_a_module_by_its_id_gets_its_own_variables(tmp_path: Path) -> None:
    write_module(tmp_path, "this")
    code, _, err = await result(await llamachat("selftest", "tested", "--root", str(tmp_path)))
    assert code == 0, err


async def test_one_that_fails_says_why(tmp_path: Path) -> None:
    write_module(tmp_path, "that")
    code, _, err = await result(await llamachat("selftest", "Tested", "--root", str(tmp_path)))
    assert code == 1 and "told that" in err


async def test_a_folder_does_as_well_as_an_id() -> None:
    code, _, err = await result(await llamachat("selftest", str(EXAMPLE)))
    assert code == 0, err
    code, _, err = await result(await llamachat("selftest", "nobody"))
    assert code == 1 and "no module 'nobody' here" in err


async def test_the_sdk_is_where_the_command_says(tmp_path: Path) -> None:
    _, out, _ = await result(await llamachat("sdk"))
    program = str(EXAMPLE / "count_words_adapter.py")
    env = {**os.environ, "PYTHONPATH": out.strip()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, "--selftest", cwd=tmp_path, env=env
    )
    assert Path(out.strip()) == ROOT and await process.wait() == 0
