"""What was found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from host.cli.doctor.checks import Check


async def report(checks: AsyncIterator[Check], is_json: bool) -> int:
    """Print a line for each check, and the remedy under what is bad: as soon as it is known, or all
    as one JSON object. The exit status: 1 if anything is bad."""
    found = []
    async for check in checks:
        found.append(check)
        if not is_json:
            print(_lines(check), flush=True)
    bad = sum(not check.is_good for check in found)
    if is_json:
        print(json.dumps({"ok": not bad, "checks": [check.as_json() for check in found]}))
    else:
        print(f"\n{bad} of {len(found)} bad" if bad else f"\nall {len(found)} good")
    return 1 if bad else 0


def _lines(check: Check) -> str:
    line = f"{'good' if check.is_good else 'BAD':<5} {check.title:<24} {check.finding}"
    return line if check.is_good or not check.remedy else f"{line}\n{'':<5} -> {check.remedy}"
