"""The route map: which module's queue and command a path under /v1/ goes to."""

from __future__ import annotations

from dataclasses import dataclass, field

from host.settings import RouteParameter


@dataclass(frozen=True)
class QueueLimits:
    """What a module's settings allow its queue; None is no limit."""

    max_length: int | None = None
    max_wait_s: float | None = None
    max_run_s: float | None = None


@dataclass(frozen=True)
class Route:
    """One line of a module's route map. `inputs` are its declared fields."""

    module_id: str
    queue: str
    path: str
    method: str
    command: str
    is_long: bool = False
    inputs: list[RouteParameter] = field(default_factory=list)
    limits: QueueLimits = QueueLimits()


class RouteTable:
    """Paths are matched in lower case: exact first, then the longest prefix that ends at a
    segment border; what is left of the path goes to the module as segments."""

    def __init__(self) -> None:
        self._by_path: dict[str, Route] = {}

    def add(self, route: Route) -> None:
        self._by_path[_normal(route.path)] = route

    def find(self, path: str) -> tuple[Route, list[str]] | None:
        """The route for a path below /v1/, and the segments beyond it."""
        exact = self._by_path.get(path)
        if exact is not None:
            return exact, []
        segments = [segment for segment in path.split("/") if segment]
        for length in range(len(segments), 0, -1):
            route = self._by_path.get("/".join(segments[:length]).lower())
            if route is not None:
                return route, segments[length:]
        return None

    def paths(self) -> list[str]:
        return sorted(self._by_path)


def _normal(path: str) -> str:
    return "/".join(segment for segment in path.lower().split("/") if segment)
