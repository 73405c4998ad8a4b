"""Put a llama.cpp into an environment that is proven to work there.

Invariant: nothing counts as installed before the guide has answered with it. A build that dies,
hangs or answers nonsense is replaced by the next one down, and each step says what happened and
what it costs. A build that failed here once is not compiled again until something changes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_setup import builds
from llama_setup.amx import Amx, try_amx
from llama_setup.builds import CPU, LLAMA_CPP_PYTHON, Build
from llama_setup.compilation import Compilation
from llama_setup.environment import MODULE_PATH, Environment
from llama_setup.processor import Processor, this_processor
from llama_setup.programs import say
from llama_setup.recipes import USER_VARIABLES, Recipe, compiler_command, recipes
from llama_setup.setup_error import SetupError
from llama_setup.wheel_cache import WheelCache, cache_folder, system_key

_PROOF_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Wish:
    """What the person who installs asks for."""

    build: Build
    is_compiled: bool = False
    """Compile for this processor even where there is a prebuilt wheel."""
    has_images: bool = False

    def as_json(self, processor: Processor) -> dict[str, Any]:
        """What an installed build must have been made for, to be kept."""
        return {
            "version": LLAMA_CPP_PYTHON,
            "backend": self.build.backend,
            "wheels": self.build.wheels,
            "isCompiled": self.is_compiled,
            "hasImages": self.has_images,
            "processor": processor.key,
            "user": {name: os.environ[name] for name in USER_VARIABLES if os.environ.get(name)},
        }


class Ladder:
    """The builds for one environment and one wish, tried from the best one down."""

    def __init__(self, environment: Environment, wish: Wish) -> None:
        self._environment = environment
        self._wish = wish
        self._folder = cache_folder()
        self._cache = WheelCache(self._folder)
        self._processor = this_processor()
        self._why = "there is no build for it within reach"

    def install(self) -> bool:
        """Have a proven build there; False where there was one already. Raises SetupError."""
        if self._is_kept():
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        build = self._wish.build
        say(f"llama.cpp for {build.backend}: {build.why}.")
        if self._try_all(build):
            return True
        if build.backend != "cpu":
            say("Going on with the build for the CPU.")
            if self._try_all(CPU):
                say(f"The GPU is not used: {self._why}. Run this again when that is mended.")
                return True
        raise SetupError(*self._how_to_go_on())

    def _is_kept(self) -> bool:
        """Whether what is installed is what is wished for, and proven, now."""
        installed = self._environment.build()
        if installed.get("wish") != self._wish.as_json(self._processor):
            return False
        if installed.get("backend") != self._wish.build.backend:
            return False  # what stood in the way of that backend may be mended by now
        proof = self._prove("--json")
        if not proof["ok"]:
            say(f"The build that is installed does not work: {proof['reason']}.")
        return bool(proof["ok"])

    def _try_all(self, build: Build) -> bool:
        if not self._wish.is_compiled and self._try_prebuilt(build):
            return True
        return any(self._try_recipe(build, recipe) for recipe in self._recipes(build))

    # -- ready-made wheels --------------------------------------------------------------------

    def _try_prebuilt(self, build: Build) -> bool:
        """A wheel from an index or a folder of wheels: it counts as unproven."""
        with tempfile.TemporaryDirectory(prefix="llamachat-wheel-") as folder:
            wheel = self._fetch_wheel(build, Path(folder))
            if wheel is None:
                return False
            facts = {"backend": build.backend, "recipe": "ready-made", "flags": ""}
            return self._install(wheel, facts, "the ready-made one")

    def _fetch_wheel(self, build: Build, folder: Path) -> Path | None:
        places = []
        if not os.environ.get("PIP_NO_INDEX") and builds.is_reachable(f"{build.index_url}/"):
            say(f"Looking for a ready-made wheel in {build.index_url} ...")
            places = ["--extra-index-url", build.index_url]
        elif build.backend != "cpu":
            return None  # what lies elsewhere is for the CPU
        try:
            self._environment.pip(
                "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder),
                *places, LLAMA_CPP_PYTHON,
            )  # fmt: skip
        except SetupError:
            say("There is no ready-made wheel for this system within reach.")
            return None
        return next(folder.glob("*.whl"), None)

    # -- compiled ones ------------------------------------------------------------------------

    def _recipes(self, build: Build) -> Iterator[Recipe]:
        missing = builds.missing_tools(build)
        compiler = compiler_command()
        if missing or not compiler:
            tools = " and ".join(missing or ["a C++ compiler"])
            say(f"It cannot be compiled here: {tools} missing. {builds.remedy_for_compiler()}")
            return
        amx = try_amx(compiler) if self._processor.has_amx else Amx.ABSENT
        if amx in (Amx.MENDED, Amx.BROKEN):
            say(f"AMX, this processor's matrix unit, {amx.value}.")
        all_recipes = recipes(
            self._processor, amx, build.cmake_args, has_images=self._wish.has_images
        )
        for recipe in all_recipes:
            yield recipe
            if build.backend != "cpu":
                return  # a GPU's build that fails does not fail for the processor's sake

    def _try_recipe(self, build: Build, recipe: Recipe) -> bool:
        key = self._key(recipe)
        if why := self._cache.why_failed(key):
            say(f"Passing over the build {recipe.title}: it is known to fail here ({why}).")
            return False
        cost = f" ({recipe.cost})" if recipe.cost else ""
        wheel = self._cache.find(key)
        if wheel is not None:
            say(f"Taking the build {recipe.title} from the cache{cost}.")
        else:
            minutes = builds.build_minutes(os.cpu_count() or 1)
            least = "about" if build.backend == "cpu" else "at least"
            say(f"Compiling llama.cpp {recipe.title}{cost}: {least} {minutes} min, once ...")
            wheel = self._compile(build, recipe, key)
        if wheel is None:
            return False
        facts = {
            "backend": build.backend, "recipe": recipe.name, "flags": recipe.all_flags, "key": key,
        }  # fmt: skip
        return self._install(wheel, facts, f"the one {recipe.title}", key)

    def _compile(self, build: Build, recipe: Recipe, key: str) -> Path | None:
        compilation = Compilation(recipe, key, self._folder, self._environment.is_verbose)
        try:
            return compilation.wheel(self._cache)
        except SetupError as ex:
            if build.backend == "cpu":
                raise
            say(str(ex))
            return None

    def _key(self, recipe: Recipe) -> str:
        version = _first_line([*compiler_command(), "--version"])
        key = recipe.key(os.environ, LLAMA_CPP_PYTHON, self._processor.key, version, system_key())
        return f"{LLAMA_CPP_PYTHON.split('==')[1]}-{recipe.name}-{key}"

    # -- proof --------------------------------------------------------------------------------

    def _install(self, wheel: Path, facts: dict[str, Any], title: str, key: str = "") -> bool:
        """Put a wheel there, and prove it."""
        self._environment.pip("install", "--force-reinstall", "--no-deps", str(wheel))
        self._environment.pip("install", str(wheel))
        wish = self._wish.as_json(self._processor)
        self._environment.write_build({"wish": wish, **facts})
        proof = self._prove("--again", "--json")
        if proof["ok"]:
            say(f"llama.cpp works here: proven on the {' and '.join(proof['devices'])}.")
            return True
        say(f"This build does not work here: {title}: {proof['reason']}.")
        if facts["backend"] != "cpu":
            self._why = f"{proof['reason']}. {proof['remedy']}"
        if key:
            self._cache.remember_failure(key, proof["reason"])
        return False

    def _prove(self, *arguments: str) -> dict[str, Any]:
        command = [str(self._environment.python), str(MODULE_PATH / "build_proof.py"), *arguments]
        try:
            result = subprocess.run(  # noqa: S603 - a file of this module
                command, capture_output=True, text=True, timeout=_PROOF_TIMEOUT_S, check=False
            )
            proof: dict[str, Any] = json.loads(result.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired) as ex:
            return {"ok": False, "reason": f"the proof itself failed: {ex}", "remedy": ""}
        return proof

    def _how_to_go_on(self) -> tuple[str, str]:
        if missing := builds.missing_tools(CPU):
            return (
                f"llama.cpp has to be compiled here, and {missing[0]} is missing: "
                f"{builds.remedy_for_compiler()}, then run this again",
                "",
            )
        return (
            "No build of llama.cpp works on this machine. Run this again with --again to try them "
            "all once more, or with another compiler: CC=clang CXX=clang++ before the command",
            f"The processor is {self._processor}. `llamachat doctor` lists what was found.",
        )


def _first_line(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    output = builds.run_program(command) or ""
    return output.splitlines()[0] if output else ""
