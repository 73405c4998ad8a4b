"""The command `llamachat`, in a checkout and in an installed package.

`host`, `sdk` and the modules lie inside this folder in a package, and beside it in a checkout.
Invariant: the folder that has them comes first on Python's path, so nothing else of those names is
taken for them.
"""

from __future__ import annotations

import sys
from pathlib import Path


def home() -> Path:
    """The folder that `host` and `sdk` lie in."""
    here = Path(__file__).resolve().parent
    return here if (here / "host").is_dir() else here.parent


def main() -> int:
    """Run one command, and return its exit code."""
    sys.path.insert(0, str(home()))
    from host.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
