"""What was compiled, kept in the user's cache: the next environment takes seconds.

Invariant: a wheel lies under a key of everything it depends on (version, flags, compiler,
processor, system), so one from another processor is never found; it is put there whole or not at
all. That it once worked is not believed: whoever takes it proves it again.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

VARIABLE = "LLAMACHAT_CACHE_DIR"
_FAILED = "failed.txt"


def cache_folder() -> Path:
    """Where this user's programs keep what can be made again."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser().absolute()
    home = Path.home()
    if platform.system() == "Windows":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform.system() == "Darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "llamachat"


class WheelCache:
    """The compiled wheels under `folder`, each in a folder of its key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "wheels"

    def find(self, key: str) -> Path | None:
        """The wheel of that key, if there is one."""
        return next(iter(sorted((self.folder / key).glob("*.whl"))), None)

    def put(self, key: str, wheel: Path) -> Path:
        """Keep a wheel. Returns where it lies now."""
        place = self.folder / key / wheel.name
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_suffix(f".{os.getpid()}.tmp")
        shutil.copyfile(wheel, draft)
        os.replace(draft, place)
        return place

    def why_failed(self, key: str) -> str:
        """Why the build of that key is known not to work here; empty where nothing is known."""
        try:
            return (self.folder / key / _FAILED).read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def remember_failure(self, key: str, reason: str) -> None:
        """Drop the wheel of that key: it need not be compiled again to see it fail."""
        folder = self.folder / key
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FAILED).write_text(reason + "\n", encoding="utf-8")
        for wheel in folder.glob("*.whl"):
            wheel.unlink(missing_ok=True)

    def forget_failures(self) -> None:
        """Let everything be tried again."""
        for file in self.folder.glob(f"*/{_FAILED}"):
            file.unlink(missing_ok=True)


def system_key() -> str:
    """What a wheel depends on besides flags and processor: the system and its C library."""
    return f"{sys.platform} {platform.machine()} {' '.join(platform.libc_ver())}"
