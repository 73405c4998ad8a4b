"""What a module says of itself, as the host takes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from host.web.statuses import read_status

WELL = {
    "state": "ready",
    "error": None,
    "machine": "gpu-1",
    "slots": 4,
    "busy": 0,
    "commands": ["a"],
    "safeMode": {"gaveUp": []},
    "inferenceDevice": "GPU",
}


def test_what_is_well_stays_as_it_is() -> None:
    assert read_status(json.dumps(WELL)) == WELL


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state", {"a": 1}),
        ("error", ["x"]),
        ("machine", 3),
        ("slots", "four"),
        ("slots", True),
        ("slots", -1),
        ("slots", 2**70),
        ("busy", 1.5),
        ("commands", [[]]),
        ("commands", "abc"),
        ("safeMode", "yes"),
    ],
)
def test_what_is_of_another_kind_is_left_out(key: str, value: Any) -> None:
    status = read_status(json.dumps({**WELL, key: value}))
    assert status == {name: one for name, one in WELL.items() if name != key}


def test_the_modules_own_fields_are_its_own() -> None:
    assert read_status('{"mine": [[1]]}') == {"mine": [[1]]}


def test_a_status_that_is_no_object_is_one() -> None:
    assert read_status('"ready"') == {"status": "ready"}
