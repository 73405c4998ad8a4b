"""Find the modules, merge their settings files, and validate the outcome.

Invariant: a module that is wrong never hides the others; only the deployment's own file can stop
the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from host.settings.errors import SettingsError, shown
from host.settings.files import FILE_NAME, Layer, Machine, holds, merge, read_layer
from host.settings.schema import ModuleSettings, RouteMap, ServerSettings
from host.settings.validation import validation_errors


@dataclass(frozen=True)
class BrokenModule:
    """A module that cannot be launched, and why. `id` is its folder's name where no file says."""

    id: str
    path: Path
    errors: tuple[SettingsError, ...]

    @property
    def reason(self) -> str:
        return "; ".join(str(error) for error in self.errors)


@dataclass(frozen=True)
class Settings:
    """All that was read. `warnings` are worth a line in the log, no more."""

    server: ServerSettings
    modules: tuple[ModuleSettings, ...] = ()
    broken: tuple[BrokenModule, ...] = ()
    warnings: tuple[str, ...] = ()


def load_settings(
    root_path: Path, *, root_file: Path | None = None, machine: Machine | None = None
) -> Settings:
    """Read the deployment in `root_path` and the modules that it names.

    `root_file` is the deployment's own file, `modulesettings.json` in the root unless given; the
    default one may be absent. Raises SettingsError when that file is wrong.
    """
    root_path = root_path.resolve()
    root = _read_root(root_path, root_file)
    server = _server(root, root_path)
    loader = _Loader(root, machine or Machine.this())
    for folder in loader.module_folders(root_path, server.module_folders):
        loader.add(folder)
    loader.check_overrides()
    return Settings(server, tuple(loader.modules), tuple(loader.broken), tuple(loader.warnings))


def _read_root(root_path: Path, root_file: Path | None) -> Layer:
    default = root_path / FILE_NAME
    if root_file is None and not default.exists():
        return Layer(default, {})
    root = read_layer(root_file or default)
    for key in ("Server", "Modules"):
        section = root.content.get(key)
        if section is not None and not isinstance(section, dict):
            raise SettingsError(
                root.file, key=key, expected="an object, as in { ... }", got=shown(section)
            )
    return root


def _server(root: Layer, root_path: Path) -> ServerSettings:
    section = root.content.get("Server") or {}
    try:
        return ServerSettings.model_validate({**section, "root_path": root_path})
    except ValidationError as ex:
        raise next(validation_errors(ex, ("Server",), [root])) from ex


@dataclass
class _Loader:
    """Takes the folders one by one; what is settled first keeps its id and its routes."""

    root: Layer
    machine: Machine
    modules: list[ModuleSettings] = field(default_factory=list)
    broken: list[BrokenModule] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def module_folders(self, root_path: Path, named: Sequence[str]) -> Iterator[Path]:
        """Folders that hold a module, each once, in the order of their names."""
        seen: set[Path] = set()
        for position, name in enumerate(["modules", *named]):
            folder = (root_path / Path(name).expanduser()).resolve()
            if not folder.is_dir():
                if position:
                    self.warnings.append(
                        f"{self.root.file}: Server.ModuleFolders[{position - 1}]: expected a "
                        f"folder that is there, got {name!r} (looked at {folder})"
                    )
                continue
            for module_folder in _modules_in(folder):
                if module_folder not in seen:
                    seen.add(module_folder)
                    yield module_folder

    def add(self, folder: Path) -> None:
        """Load one module; what is wrong with it goes to `broken`."""
        module_id = folder.name
        try:
            own = [read_layer(folder / FILE_NAME), *self._overlays(folder)]
            module_id = _only_id(own[0])
            layers = [*own, self.root]
            for layer in own[1:]:
                self._warn_of_strangers(layer, module_id)
            module = _validated(module_id, folder, layers)
            self._refuse_duplicates(module, own[0].file)
        except _ManyErrors as ex:
            self._add_broken(module_id, folder, ex.errors)
        except SettingsError as ex:
            self._add_broken(module_id, folder, (ex,))
        else:
            self.modules.append(module)

    def check_overrides(self) -> None:
        """Warn of settings for modules that are not there: most likely a typing error."""
        known = {item.id for item in self.modules} | {item.id for item in self.broken}
        for module_id in self.root.content.get("Modules") or {}:
            if module_id not in known:
                names = ", ".join(sorted(known)) or "none"
                self.warnings.append(
                    f"{self.root.file}: Modules.{module_id}: no such module (there are: {names})"
                )

    def _overlays(self, folder: Path) -> Iterator[Layer]:
        for name in self.machine.file_names()[1:]:
            if (folder / name).exists():
                yield read_layer(folder / name)

    def _warn_of_strangers(self, layer: Layer, module_id: str) -> None:
        modules = layer.content.get("Modules")
        strangers = set(modules) - {module_id} if isinstance(modules, dict) else set()
        for stranger in sorted(strangers):
            self.warnings.append(
                f"{layer.file}: Modules.{stranger}: passed over, the module here is {module_id}"
            )

    def _refuse_duplicates(self, module: ModuleSettings, file: Path) -> None:
        for other in self.modules:
            if other.id.lower() == module.id.lower():
                raise SettingsError(
                    file,
                    key="Modules",
                    expected="an id that no other module has",
                    got=f"{module.id}, the id of the module in {other.path}",
                )
        taken = {_route_key(route): other for other in self.modules for route in other.routes}
        for position, route in enumerate(module.routes):
            key = f"Modules.{module.id}.RouteMaps[{position}].Route"
            owner = taken.setdefault(_route_key(route), module)
            if owner is not module:
                raise SettingsError(
                    file,
                    key=key,
                    expected="a route that no other module has",
                    got=f"{route.route}, a route of module {owner.id} in {owner.path}",
                )

    def _add_broken(self, module_id: str, folder: Path, errors: tuple[SettingsError, ...]) -> None:
        ids = [item.id for item in self.modules] + [item.id for item in self.broken]
        taken = {item.lower() for item in ids}
        names = (module_id, folder.name, str(folder))
        free = next(name for name in names if name.lower() not in taken)
        self.broken.append(BrokenModule(free, folder, errors))


class _ManyErrors(Exception):
    """All that validation found in one module."""

    def __init__(self, errors: tuple[SettingsError, ...]) -> None:
        super().__init__()
        self.errors = errors


def _modules_in(folder: Path) -> list[Path]:
    if (folder / FILE_NAME).exists():  # the folder of one module was named, not one of many
        return [folder]
    return sorted(
        item for item in folder.iterdir() if item.is_dir() and not item.name.startswith((".", "_"))
    )


def _only_id(base: Layer) -> str:
    modules = base.content.get("Modules")
    if not isinstance(modules, dict) or len(modules) != 1:
        got = shown(modules) if not isinstance(modules, dict) else ", ".join(modules) or "none"
        raise SettingsError(
            base.file, key="Modules", expected="an object with exactly one module", got=got
        )
    return str(next(iter(modules)))


def _validated(module_id: str, folder: Path, layers: Sequence[Layer]) -> ModuleSettings:
    place = ("Modules", module_id)
    merged: dict[str, Any] = {}
    for layer in layers:
        if not holds(layer.content, place):
            continue
        section = layer.content["Modules"][module_id]
        if not isinstance(section, dict):
            raise SettingsError(
                layer.file,
                key=".".join(place),
                expected="an object, as in { ... }",
                got=shown(section),
            )
        merged = merge(merged, section)
    try:
        return ModuleSettings.model_validate({**merged, "id": module_id, "path": folder})
    except ValidationError as ex:
        raise _ManyErrors(tuple(validation_errors(ex, place, layers))) from ex


def _route_key(route: RouteMap) -> tuple[str, str]:
    return route.method.upper(), route.path
