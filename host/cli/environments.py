"""The environment of a module that an installed package brings: made when it is first needed.

The module's own setup program makes it, since only the module knows what it needs: it is run with
`--venv FOLDER`, shows its progress itself, and ends with 0 when that environment works.

Invariant: a setup program runs only when the module, its Python or the processor is not what it was
when the program last ended well; one at a time for each environment.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from host.settings import ModuleSettings, ServerSettings, module_python
from host.settings.home import HOME
from host.settings.places import make_private_dir

STAMP_FILE = "set-up-for.txt"


class SetupFailed(Exception):
    """A module's environment could not be made; the setup program has said why."""

    def __init__(self, module: ModuleSettings, status: int) -> None:
        super().__init__(
            f"the environment of module {module.id} could not be made (exit status {status}): "
            f"the reason stands above. To try again: llamachat setup"
        )


def has_setup(module: ModuleSettings) -> bool:
    """Whether a setup program of its own makes the environment that the module runs in."""
    return module.venv is not None and not (module.path / ".venv").is_dir()


def ensure_environments(modules: Iterable[ModuleSettings], server: ServerSettings) -> None:
    """Have the environments of these modules made. Blocks for as long as that takes.

    Raises SetupFailed, OSError.
    """
    for module in modules:
        if not has_setup(module) or _is_up_to_date(module):
            continue
        with _locked(module, server):
            if not _is_up_to_date(module):  # another process may just have done it
                _set_up(module, ())


def set_up(module: ModuleSettings, server: ServerSettings, arguments: Sequence[str]) -> None:
    """Run the module's setup program, whatever there is already, with these arguments besides.

    Raises SetupFailed, OSError.
    """
    with _locked(module, server):
        _set_up(module, arguments)


def set_up_checkout(module: ModuleSettings, arguments: Sequence[str]) -> None:
    """The same for a checkout, whose one environment serves host and module. Raises SetupFailed."""
    status = _run_setup(module, ["--project", str(HOME), *arguments])
    if status != 0:
        raise SetupFailed(module, status)


def _locked(module: ModuleSettings, server: ServerSettings) -> FileLock:
    make_private_dir(server.root_path, is_own=False)
    environment = Path(str(module.venv))
    environment.parent.mkdir(exist_ok=True)
    return FileLock(f"{environment}.lock")


def _set_up(module: ModuleSettings, arguments: Sequence[str]) -> None:
    environment = Path(str(module.venv))
    stamp = environment / STAMP_FILE
    stamp.unlink(missing_ok=True)
    status = _run_setup(module, ["--venv", str(environment), *arguments])
    if status != 0:
        raise SetupFailed(module, status)
    if environment.is_dir():  # it may have been asked to remove it
        stamp.write_text(_fingerprint(module), encoding="utf-8")


def _run_setup(module: ModuleSettings, arguments: Sequence[str]) -> int:
    program = str(module.path / str(module.install_options.setup))
    command = [sys.executable, program, *arguments]
    # Its words are no part of what the command was asked for: a reply, a list.
    return subprocess.run(command, stdout=sys.stderr, check=False).returncode  # noqa: S603


def _is_up_to_date(module: ModuleSettings) -> bool:
    try:
        found = (Path(str(module.venv)) / STAMP_FILE).read_text(encoding="utf-8")
    except OSError:
        return False
    # A Python that was removed leaves a link that leads nowhere.
    return found == _fingerprint(module) and Path(module_python(module)).exists()


def _fingerprint(module: ModuleSettings) -> str:
    """What the environment was made from and for."""
    digest = hashlib.sha256()
    for path in sorted([*module.path.rglob("*.py"), *module.path.glob("requirements*.txt")]):
        digest.update(str(path.relative_to(module.path)).encode())
        digest.update(path.read_bytes())
    digest.update(_processor().encode())
    return f"{module.version} {digest.hexdigest()}"


def _processor() -> str:
    """What the processor can do: code compiled for another one may not run on it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return f"{platform.machine()} {platform.processor()}"
