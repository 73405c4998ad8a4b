"""The guard of what a host launched, with a tenth of its patience. Run as a script, like it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "host" / "processes"))

import orphan_guard  # type: ignore[import-not-found]

orphan_guard.TERMINATE_S /= 10

if __name__ == "__main__":
    orphan_guard.main()
