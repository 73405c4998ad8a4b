"""The route map: exact first, then the longest prefix that ends at a segment border."""

from __future__ import annotations

import pytest

from host.web.errors import RequestRefused
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
    assert found[0]["POST"].command.strip("/") == command


@pytest.mark.parametrize("asked", ["", "/", "visio", "visions", "other/vision"])
def test_half_a_segment_is_no_match(asked: str) -> None:
    assert table("vision").find(asked) is None


def test_a_path_has_a_route_for_each_of_its_methods() -> None:
    made = table("vision")
    made.add(Route("N", "n_queue", "/Vision", "GET", "look"))
    assert made.paths() == ["vision"]
    assert made.at("vision/cats", "GET")[0].module_id == "N"
    assert made.at("vision", "POST")[0].module_id == "M"
    with pytest.raises(RequestRefused) as refused:
        made.at("vision", "DELETE")
    assert refused.value.status == 405 and refused.value.headers == {"Allow": "GET, POST"}
    assert refused.value.error == "/v1/vision: expected GET, POST, got DELETE"
