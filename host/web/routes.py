"""The route map: which module's queue and command a path under /v1/ goes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from host.settings import ModuleSettings, RouteMap
from host.web.errors import SHOWN_CHARS, RequestRefused
from host.web.inputs import Inputs


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
    inputs: Inputs = field(default_factory=Inputs)
    limits: QueueLimits = QueueLimits()


class RouteTable:
    """Paths are matched in lower case: exact first, then the longest prefix that ends at a
    segment border; what is left of the path goes to the module as segments. A path may have
    several methods, each with its own route."""

    def __init__(self) -> None:
        self._by_path: dict[str, dict[str, Route]] = {}
        self._longest = 0  # in segments: what is beyond it need not be tried

    @staticmethod
    def of(modules: Iterable[ModuleSettings]) -> RouteTable:
        """The route maps of all modules."""
        table = RouteTable()
        for module in modules:
            for route in module.routes:
                table.add(_route(module, route))
        return table

    def add(self, route: Route) -> None:
        path = _normal(route.path)
        self._by_path.setdefault(path, {})[route.method] = route
        self._longest = max(self._longest, path.count("/") + 1)

    def at(self, path: str, method: str) -> tuple[Route, list[str]]:
        """The route for a path below /v1/, and the segments beyond it.

        Raises RequestRefused: 404, and 405 for a path that has other methods only.
        """
        found = self.find(path)
        if found is None:
            known = ", ".join(f"/v1/{one}" for one in self.paths()) or "none"
            asked = f"/v1/{path[:SHOWN_CHARS]}"
            raise RequestRefused(404, f"no module serves {asked}; routes served: {known}")
        by_method, segments = found
        if method not in by_method:
            raise wrong_method(f"/v1/{path[:SHOWN_CHARS]}", by_method, method)
        return by_method[method], segments

    def find(self, path: str) -> tuple[dict[str, Route], list[str]] | None:
        """The routes of a path by their methods, and the segments beyond it."""
        exact = self._by_path.get(path)
        if exact is not None:
            return exact, []
        segments = [segment for segment in path.split("/") if segment]
        for length in range(min(len(segments), self._longest), 0, -1):
            routes = self._by_path.get("/".join(segments[:length]).lower())
            if routes is not None:
                return routes, segments[length:]
        return None

    def paths(self) -> list[str]:
        return sorted(self._by_path)


def wrong_method(path: str, allowed: Iterable[str], got: str) -> RequestRefused:
    """405, with the methods that the path has."""
    names = ", ".join(sorted(allowed))
    return RequestRefused(405, f"{path}: expected {names}, got {got}", Allow=names)


def _normal(path: str) -> str:
    return "/".join(segment for segment in path.lower().split("/") if segment)


def _route(module: ModuleSettings, route: RouteMap) -> Route:
    limits = QueueLimits(
        max_length=module.launch.max_queue_length,
        max_wait_s=module.launch.max_wait_s or None,
        max_run_s=module.launch.max_run_s or None,
    )
    return Route(
        module_id=module.id,
        queue=module.queue,
        path=route.path,
        method=route.method.upper(),
        command=route.command,
        is_long=route.long_process,
        inputs=Inputs(route.inputs),
        limits=limits,
    )
