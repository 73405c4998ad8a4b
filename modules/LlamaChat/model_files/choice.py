"""Which model this module is to load.

Invariant: what the settings name wins over what was chosen by name or path, and that over the
built-in model; a model that was asked for and is not there is never replaced by another.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from model_files.catalogue import BUILTIN_FILE, builtin_path, find_entry, read_selection
from model_files.source import ModelSource

ENV_DIRECTORY = "CPAI_MODULE_LLAMA_MODEL_DIR"
ENV_FILENAME = "CPAI_MODULE_LLAMA_MODEL_FILENAME"
ENV_REPO = "CPAI_MODULE_LLAMA_MODEL_REPO"
ENV_FILEGLOB = "CPAI_MODULE_LLAMA_MODEL_FILEGLOB"

DEFAULT_DIRECTORY = "./models"

HOW_TO_RETURN = (
    "To return to the built-in model: `llamachat models guide`, and no "
    "CPAI_MODULE_LLAMA_MODEL_FILENAME or _REPO in the settings or the environment; then start again"
)


def model_directory(environment: Mapping[str, str], module_path: Path) -> Path:
    """Where models are kept: as set, from the module's folder on."""
    directory = environment.get(ENV_DIRECTORY) or DEFAULT_DIRECTORY
    return (module_path / Path(directory).expanduser()).resolve()


def choose_model(environment: Mapping[str, str], module_path: Path) -> ModelSource:
    """The model to load. Raises ModelLoadError where the choice itself cannot be read."""
    directory = model_directory(environment, module_path)
    filename = environment.get(ENV_FILENAME, "")
    repo = environment.get(ENV_REPO, "").removeprefix("@")
    if filename or repo:
        if filename == BUILTIN_FILE and not (directory / filename).exists():
            return builtin_model(module_path)
        return ModelSource(directory, filename, repo, environment.get(ENV_FILEGLOB, ""))
    selected = read_selection(directory)
    if selected is None:
        return builtin_model(module_path)
    if Path(selected).is_absolute():
        return ModelSource(Path(selected).parent, Path(selected).name)
    entry = find_entry(module_path, selected)
    return builtin_model(module_path) if entry.is_builtin else ModelSource(directory, entry.file)


def builtin_model(module_path: Path) -> ModelSource:
    """The built-in model."""
    path = builtin_path(module_path)
    return ModelSource(path.parent, path.name)
