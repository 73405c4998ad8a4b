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
    root_path: Path,
    *,
    root_file: Path | None = None,
    installed: Path | None = None,
    machine: Machine | None = None,
) -> Settings:
    """Read the deployment in `root_path` and the modules that it names.

    `root_file` is the deployment's own file, `modulesettings.json` in the root unless given; it may
    be absent. `installed` is an installed package: its settings lie below the deployment's own, its
    modules come after these, and what a module's setup program makes is kept in the root.
    Raises SettingsError when one of the files is wrong, or nothing at all is there.
    """
    root_path = root_path.resolve()
    if not (root_file or installed):
        _require_deployment(root_path)
    own = _read_root(root_file or root_path / FILE_NAME)
    roots = [_read_root(installed / FILE_NAME), own] if installed else [own]
    server = _server(roots, root_path)
    environments = root_path / "environments" if installed else None
    loader = _Loader(roots, machine or Machine.this(), environments)
    for folder in loader.module_folders(root_path, server.module_folders, installed):
        loader.add(folder)
    loader.check_overrides()
    return Settings(server, tuple(loader.modules), tuple(loader.broken), tuple(loader.warnings))


def load_module(folder: Path) -> ModuleSettings:
    """One module by its folder, wherever it lies. Raises SettingsError."""
    loader = _Loader([], Machine.this())
    loader.add(folder.resolve())
    for broken in loader.broken:
        raise broken.errors[0]
    return loader.modules[0]


def _require_deployment(root_path: Path) -> None:
    """A folder with nothing in it is a mistyped one: a host without modules helps nobody."""
    if (root_path / FILE_NAME).exists() or (root_path / "modules").is_dir():
        return
    raise SettingsError(
        root_path,
        expected=f"a folder with {FILE_NAME} or modules/ in it",
        got="one with neither" if root_path.is_dir() else "nothing there",
    )


def _read_root(file: Path) -> Layer:
    if not file.exists():
        return Layer(file, {})
    root = read_layer(file)
    for key in ("Server", "Modules"):
        section = root.content.get(key)
        if section is not None and not isinstance(section, dict):
            raise SettingsError(
                root.file, key=key, expected="an object, as in { ... }", got=shown(section)
            )
    return root


def _server(roots: Sequence[Layer], root_path: Path) -> ServerSettings:
    section: dict[str, Any] = {}
    for root in roots:
        section = merge(section, root.content.get("Server") or {})
    try:
        return ServerSettings.model_validate({**section, "root_path": root_path})
    except ValidationError as ex:
        raise next(validation_errors(ex, ("Server",), roots)) from ex


@dataclass
class _Loader:
    """Takes the folders one by one; what is settled first keeps its id and its routes."""

    roots: Sequence[Layer]
    machine: Machine
    environments: Path | None = None
    modules: list[ModuleSettings] = field(default_factory=list)
    broken: list[BrokenModule] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def module_folders(
        self, root_path: Path, named: Sequence[str], installed: Path | None
    ) -> Iterator[Path]:
        """Folders that hold a module, each once: own ones, in the order of their names, first."""
        seen: set[Path] = set()
        for folder in self._folders_of_many(root_path, named, installed):
            for module_folder in _modules_in(folder):
                if module_folder not in seen:
                    seen.add(module_folder)
                    yield module_folder

    def _folders_of_many(
        self, root_path: Path, named: Sequence[str], installed: Path | None
    ) -> Iterator[Path]:
        for position, name in enumerate(["modules", *named]):
            folder = (root_path / Path(name).expanduser()).resolve()
            if not folder.is_dir():
                if position:
                    self.warnings.append(
                        f"{self.roots[-1].file}: Server.ModuleFolders[{position - 1}]: expected a "
                        f"folder that is there, got {name!r} (looked at {folder})"
                    )
                continue
            yield folder
        if installed:
            yield installed / "modules"

    def add(self, folder: Path) -> None:
        """Load one module; what is wrong with it goes to `broken`."""
        module_id = folder.name
        try:
            own = [read_layer(folder / FILE_NAME), *self._overlays(folder)]
            module_id = _only_id(own[0])
            layers = [*own, *self.roots]
            for layer in own[1:]:
                self._warn_of_strangers(layer, module_id)
            module = self._with_venv(_validated(module_id, folder, layers))
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
        names = ", ".join(sorted(known)) or "none"
        for root in self.roots:
            strangers = [one for one in root.content.get("Modules") or {} if one not in known]
            for module_id in strangers:
                self.warnings.append(
                    f"{root.file}: Modules.{module_id}: no such module (there are: {names})"
                )

    def _with_venv(self, module: ModuleSettings) -> ModuleSettings:
        if self.environments is None or module.install_options.setup is None:
            return module
        return module.model_copy(update={"venv": self.environments / module.id})

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
