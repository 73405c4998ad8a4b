"""The route map: exact first, then the longest prefix that ends at a segment border."""

from __future__ import annotations

import pytest

from host.web.routes import Route, RouteTable


def table(*paths: str) -> RouteTable:
    made = RouteTable()
    for path in paths:
        made.add(Route("M", "m_queue", path, "POST", path))
    return made


@pytest.mark.parametrize(
    ("asked", "command", "segments"),
    [
        ("vision/detect", "vision/detect", []),
        ("Vision/DETECT/", "vision/detect", []),
        ("vision/detect/cats", "vision/detect", ["cats"]),
        ("vision/detect/Cats/9", "vision/detect", ["Cats", "9"]),
        ("vision/detection", "vision", ["detection"]),
        ("vision//other", "vision", ["other"]),
    ],
)
def test_the_longest_prefix_wins(asked: str, command: str, segments: list[str]) -> None:
    found = table("vision", "/vision/detect/").find(asked)
    assert found is not None and found[1] == segments
    assert found[0].command.strip("/") == command


@pytest.mark.parametrize("asked", ["", "/", "visio", "visions", "other/vision"])
def test_half_a_segment_is_no_match(asked: str) -> None:
    assert table("vision").find(asked) is None
