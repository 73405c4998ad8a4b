"""Settings: read, merged, validated; and what a module's process is launched with."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.settings import (
    ModuleSettings,
    ServerSettings,
    Settings,
    SettingsError,
    launch_command,
    load_settings,
    module_environment,
)
from host.settings.files import Machine, merge
from host.settings.home import HOME

LINUX = Machine("linux", "x64")
MINIMAL: dict[str, Any] = {"LaunchSettings": {"FilePath": "adapter.py"}}

# Written for this test, with what published files do: comments, nulls, odd types, extra keys.
LOOSE = """
/* a module as others publish it */
{
  "Modules": {
    "Parrot": {
      "Name": "The Parrot",
      "Version": 2.1,                       // a number where text is meant
      "PublishingInfo": { "IconURL": null, "License": "MIT", },
      "LaunchSettings": {
        "AutoStart": "false",
        "FilePath": "parrot_adapter.py",
        "Runtime": "python3.9",
        "RuntimeLocation": "Shared",        // not known here
        "PostStartPauseSecs": 1,
        "Queue": null,                      // the default
        "Parallelism": 0
      },
      "EnvironmentVariables": {
        "PARROT_SIZE": 3,
        "PARROT_LOUD": true,
        "PARROT_NOTHING": null,
        "PARROT_REPO": "@birds/%CURRENT_MODULE_PATH%",
        "PARROT_MODELS": "%CURRENT_MODULE_PATH%\\\\assets",
        "PARROT_SHARED": "%MODULES_PATH%/shared;%UNKNOWN_MACRO%"
      },
      "GpuOptions": { "InstallGPU": false, "EnableGPU": true, "AcceleratorDeviceName": null },
      "InstallOptions": { "Platforms": [ "all", "!raspberrypi" ] },
      "ModelRequirements": [ { "Task": "Talk" } ],
      "UIElements": { "Menus": [] },
      "RouteMaps": [
        {
          "Name": "Talk", "Route": "/Birds/Talk", "Method": "POST", "Command": "talk",
          "MeshEnabled": false,
          "Inputs": [
            { "Name": "text", "Type": "Text" },
            { "Name": "loudness", "Type": "Float", "DefaultValue": 0.4, "MinValue": 0.0 },
            { "Name": "words", "Type": "Integer", "Default": "0 (as many as it likes)" },
          ],
          "Outputs": [],
        },
        { "Route": "birds/fly", "Command": "fly", "LongProcess": true, "Inputs": null },
      ],
    },
  },
}
"""


def put(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def put_module(
    root: Path,
    module_id: str,
    section: Any = MINIMAL,
    *,
    folder: str = "",
    suffix: str = "",
) -> Path:
    file = root / "modules" / (folder or module_id) / f"modulesettings{suffix}.json"
    return put(file, {"Modules": {module_id: section}})


def load(root: Path, machine: Machine = LINUX) -> Settings:
    return load_settings(root, machine=machine)


def only(settings: Settings) -> ModuleSettings:
    assert settings.broken == ()
    [module] = settings.modules
    return module


def only_error(settings: Settings) -> SettingsError:
    [broken] = settings.broken
    [error] = broken.errors
    return error


def server(root: Path, **values: Any) -> ServerSettings:
    return ServerSettings.model_validate({"root_path": root, **values})


# --- the deployment's own file


def test_a_folder_without_settings_gives_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    settings = load(tmp_path)
    assert settings == Settings(server(tmp_path.resolve()))
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 32168)
    assert (settings.server.max_body_mb, settings.server.allowed_hosts) == (16, [])


@pytest.mark.parametrize(
    ("folder", "got"), [(".", "one with neither"), ("mistyped", "nothing there")]
)
def test_a_folder_with_nothing_in_it_is_refused(tmp_path: Path, folder: str, got: str) -> None:
    with pytest.raises(SettingsError, match=f"modulesettings.json or modules/ in it, got {got}"):
        load(tmp_path / folder)


def test_server_settings_are_read(tmp_path: Path) -> None:
    section = {"Host": "0.0.0.0", "Port": 8080, "MaxBodyMB": 0.5, "AllowedHosts": ["box"]}
    put(tmp_path / "modulesettings.json", {"Server": section, "Other": 1})
    read = load(tmp_path).server
    assert (read.host, read.port, read.max_body_mb) == ("0.0.0.0", 8080, 0.5)
    assert read.allowed_hosts == ["box"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"Server": {"Port": "many"}}', 'Server.Port: expected a whole number, got "many"'),
        ('{"Server": {"Port": true}}', "Server.Port: expected a whole number, got true"),
        ('{"Server": {"Port": 80.5}}', "Server.Port: expected a whole number, got 80.5"),
        (
            '{"Server": {"Store": "sqlite"}}',
            'Server.Store: expected "local", "memory", or an address such as redis://',
        ),
        ('{"Server": {"KeepHours": 0}}', "Server.KeepHours: expected a number above 0"),
        ('{"Server": {"Durability": "disk"}}', "Server.Durability: expected one of "),
        ('{"Server": {"Port": -1}}', "Server.Port: expected a number of at least 0, got -1"),
        ('{"Server": {"Port": 65536}}', "Server.Port: expected a number of at most 65535"),
        ('{"Server": {"MaxBodyMB": 0}}', "Server.MaxBodyMB: expected a number above 0, got 0"),
        ('{"Server": {"Host": ""}}', 'Server.Host: expected text that is not empty, got ""'),
        (
            '{"Server": {"AllowedHosts": "a"}}',
            "Server.AllowedHosts: expected a list, as in [ ... ]",
        ),
        ('{"Server": {"AllowedHosts": [[]]}}', "Server.AllowedHosts[0]: expected text in quotes"),
        ('{"Server": {"LogLevel": "debug"}}', "Server.LogLevel: expected another key: this one is"),
        ('{"Server": {"Prot": 1}}', "Server.Prot: expected another key: this one is unknown"),
        ('{"Server": []}', "Server: expected an object, as in { ... }, got []"),
        ('{"Modules": 3}', "Modules: expected an object, as in { ... }, got 3"),
        ("[1]", "expected an object, as in { ... }, got [1]"),
        (" \n", "expected an object, as in { ... }, got an empty file"),
        ('{"A": 1, "A": 2}', 'expected JSON, got Duplicate key "A" found in object'),
        ("[" * 100_000, "expected JSON, got brackets nested too deeply"),
    ],
)
def test_a_wrong_root_file_is_fatal_and_says_why(tmp_path: Path, text: str, message: str) -> None:
    file = put(tmp_path / "modulesettings.json", text)
    with pytest.raises(SettingsError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{file}: {message}")
    assert caught.value.file == file


def test_a_syntax_error_has_line_and_column(tmp_path: Path) -> None:
    file = put(tmp_path / "modulesettings.json", '{\n  // the port\n  "Server" 1\n}')
    with pytest.raises(SettingsError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{file}:3:12: expected JSON")
    assert str(caught.value).endswith('got unexpected "1"')
    assert (caught.value.line, caught.value.column) == (3, 12)


def test_what_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "modulesettings.json").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(SettingsError, match="expected text in UTF-8, got byte 0xe9 at 7"):
        load(tmp_path)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "modulesettings.json").write_bytes(b'\xef\xbb\xbf{"Server": {"Port": 1}}')
    assert load(tmp_path).server.port == 1


def test_a_root_file_elsewhere_may_be_absent(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / "modulesettings.json"
    assert load_settings(tmp_path, root_file=file).server.port == 32168
    put(file, {"Server": {"Port": 1}})
    assert load_settings(tmp_path, root_file=file).server.port == 1


def test_an_installed_package_lies_below_the_deployment(tmp_path: Path) -> None:
    installed, root = tmp_path / "installed", tmp_path / "root"
    packaged = {"Server": {"Port": 5, "KeepHours": 3}, "Modules": {"M": {"Name": "Theirs"}}}
    put(installed / "modulesettings.json", packaged)
    put_module(installed, "M", MINIMAL | {"InstallOptions": {"Setup": "setup.py"}})
    put(root / "modulesettings.json", {"Server": {"Port": 6}})
    put_module(root, "Own")
    settings = load_settings(root, installed=installed, machine=LINUX)
    assert (settings.server.port, settings.server.keep_hours) == (6, 3)
    assert settings.server.root_path == root
    own, theirs = settings.modules
    assert (own.id, own.venv) == ("Own", None)
    assert (theirs.title, theirs.venv) == ("Theirs", root / "environments" / "M")
    assert launch_command(theirs)[0].startswith(str(theirs.venv))
    (theirs.path / ".venv").mkdir()
    assert launch_command(theirs)[0].startswith(str(theirs.path / ".venv"))


def test_each_root_file_is_named_for_its_own_faults(tmp_path: Path) -> None:
    installed, root = tmp_path / "installed", tmp_path / "root"
    put(installed / "modulesettings.json", {"Server": {"Port": 5}})
    put_module(installed, "M")
    own = put(root / "modulesettings.json", {"Server": {"Port": "many"}, "Modules": {"X": {}}})
    with pytest.raises(SettingsError) as caught:
        load_settings(root, installed=installed)
    assert caught.value.file == own
    put(own, {"Modules": {"X": {}}})
    [warning] = load_settings(root, installed=installed).warnings
    assert warning.startswith(f"{own}: Modules.X: no such module")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:32168"),
        ("0.0.0.0", "http://127.0.0.1:32168"),
        ("::", "http://[::1]:32168"),
        ("localhost", "http://localhost:32168"),
        ("192.0.2.7", "http://192.0.2.7:32168"),
    ],
)
def test_the_url_is_one_that_this_machine_reaches(tmp_path: Path, host: str, url: str) -> None:
    assert server(tmp_path, Host=host).url == url


# --- modules: found and merged


def test_a_module_as_others_publish_it_loads(tmp_path: Path) -> None:
    put(tmp_path / "modules" / "Parrot" / "modulesettings.json", LOOSE)
    module = only(load(tmp_path))
    assert (module.id, module.name, module.version) == ("Parrot", "The Parrot", "2.1")
    assert module.path == tmp_path.resolve() / "modules" / "Parrot"
    assert module.launch.auto_start is False
    assert module.launch.post_start_pause_s == 1
    assert module.queue == "parrot_queue"
    assert module.launch.parallelism == 0
    assert module.gpu.half_precision == "enable"
    assert module.publishing_info["License"] == "MIT"
    talk, fly = module.routes
    assert (talk.path, talk.command, talk.long_process) == ("birds/talk", "talk", False)
    assert [item.default for item in talk.inputs] == [None, 0.4, "0 (as many as it likes)"]
    assert (fly.path, fly.long_process, fly.inputs) == ("birds/fly", True, [])


def test_files_merge_in_the_order_base_os_architecture_deployment(tmp_path: Path) -> None:
    variables = {"A": "base", "B": "base", "C": "base", "D": "base"}
    put_module(tmp_path, "M", {**MINIMAL, "EnvironmentVariables": variables})
    for suffix, names in [(".linux", "BCD"), (".linux.x64", "CD"), (".windows", "ABCD")]:
        overlay = {"EnvironmentVariables": dict.fromkeys(names, suffix)}
        put_module(tmp_path, "M", overlay, suffix=suffix)
    override = {"Modules": {"M": {"EnvironmentVariables": {"D": "root"}}}}
    put(tmp_path / "modulesettings.json", override)
    environment = only(load(tmp_path)).environment
    assert environment == {"A": "base", "B": ".linux", "C": ".linux.x64", "D": "root"}
    windows = only(load(tmp_path, Machine("windows", "arm64"))).environment
    assert windows == {"A": ".windows", "B": ".windows", "C": ".windows", "D": "root"}


def test_objects_merge_and_lists_replace(tmp_path: Path) -> None:
    routes = [{"Route": "a", "Command": "a"}, {"Route": "b", "Command": "b"}]
    put_module(tmp_path, "M", {**MINIMAL, "Name": "base", "RouteMaps": routes})
    override = {"Name": "root", "LaunchSettings": {"AutoStart": False}, "RouteMaps": routes[1:]}
    put(tmp_path / "modulesettings.json", {"Modules": {"M": override}})
    module = only(load(tmp_path))
    assert (module.name, module.launch.auto_start) == ("root", False)
    assert module.launch.file_path == "adapter.py"
    assert [route.path for route in module.routes] == ["b"]


def test_null_in_the_deployment_brings_back_the_default(tmp_path: Path) -> None:
    put_module(tmp_path, "M", {"LaunchSettings": {"FilePath": "a.py", "Queue": "shared"}})
    assert only(load(tmp_path)).queue == "shared"
    override = {"Modules": {"M": {"LaunchSettings": {"Queue": None}}}}
    put(tmp_path / "modulesettings.json", override)
    assert only(load(tmp_path)).queue == "m_queue"


_objects = st.recursive(
    st.integers() | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abc"), inner),
).filter(lambda value: isinstance(value, dict))


@given(below=_objects, above=_objects)
def test_merging_keeps_all_of_what_is_above(below: Any, above: Any) -> None:
    merged = merge(below, above)
    assert merge(merged, above) == merged
    assert merge(below, {}) == below
    assert merge({}, above) == above
    assert set(merged) == set(below) | set(above)


def test_further_folders_hold_modules_or_are_one(tmp_path: Path) -> None:
    put_module(tmp_path, "A")
    put(tmp_path / "more" / "B" / "modulesettings.json", {"Modules": {"B": MINIMAL}})
    put(tmp_path / "single" / "modulesettings.json", {"Modules": {"C": MINIMAL}})
    folders = ["more", "single", str(tmp_path / "modules"), "gone"]
    put(tmp_path / "modulesettings.json", {"Server": {"ModuleFolders": folders}})
    settings = load(tmp_path)
    assert [module.id for module in settings.modules] == ["A", "B", "C"]
    [warning] = settings.warnings
    assert "Server.ModuleFolders[3]: expected a folder that is there, got 'gone'" in warning


def test_hidden_folders_and_files_are_no_modules(tmp_path: Path) -> None:
    for name in (".git", "__pycache__"):
        (tmp_path / "modules" / name).mkdir(parents=True)
    put(tmp_path / "modules" / "readme.txt", "hello")
    assert load(tmp_path) == Settings(server(tmp_path.resolve()))


def test_settings_for_a_module_that_is_not_there_are_a_warning(tmp_path: Path) -> None:
    put_module(tmp_path, "Parrot")
    put(tmp_path / "modulesettings.json", {"Modules": {"Parot": {"Name": "x"}}})
    settings = load(tmp_path)
    assert only(settings).name == ""
    [warning] = settings.warnings
    assert warning.endswith("Modules.Parot: no such module (there are: Parrot)")


def test_settings_of_another_module_in_an_overlay_are_a_warning(tmp_path: Path) -> None:
    put_module(tmp_path, "Parrot")
    put_module(tmp_path, "Raven", folder="Parrot", suffix=".linux")
    settings = load(tmp_path)
    assert only(settings).id == "Parrot"
    [warning] = settings.warnings
    assert warning.endswith("Modules.Raven: passed over, the module here is Parrot")


# --- modules that are wrong


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "Modules.M.LaunchSettings: expected a value here, got nothing"),
        ({"LaunchSettings": {}}, "Modules.M.LaunchSettings.FilePath: expected a value here"),
        ({"LaunchSettings": "x"}, "Modules.M.LaunchSettings: expected an object, as in { ... }"),
        (
            {"LaunchSettings": {"FilePath": "a.py", "Parallelism": "many"}},
            'Modules.M.LaunchSettings.Parallelism: expected a whole number, got "many"',
        ),
        (
            {"LaunchSettings": {"FilePath": "a.py", "AutoStart": "perhaps"}},
            'Modules.M.LaunchSettings.AutoStart: expected true or false, got "perhaps"',
        ),
        (
            {"LaunchSettings": {"FilePath": "a.py", "PostStartPauseSecs": -1}},
            "Modules.M.LaunchSettings.PostStartPauseSecs: expected a number of at least 0, got -1",
        ),
        (
            {**MINIMAL, "EnvironmentVariables": {"A": ["x"]}},
            'Modules.M.EnvironmentVariables.A: expected text in quotes, got ["x"]',
        ),
        (
            {**MINIMAL, "RouteMaps": [{"Route": "a", "Command": "a"}, {"Route": "b"}]},
            "Modules.M.RouteMaps[1].Command: expected a value here, got nothing",
        ),
        ({**MINIMAL, "RouteMaps": {}}, "Modules.M.RouteMaps: expected a list, as in [ ... ]"),
        ("x", 'Modules.M: expected an object, as in { ... }, got "x"'),
    ],
)
def test_a_wrong_module_says_where_and_why(tmp_path: Path, section: Any, message: str) -> None:
    file = put_module(tmp_path, "M", section)
    error = only_error(load(tmp_path))
    assert str(error).startswith(f"{file}: {message}")


def test_all_that_is_wrong_with_a_module_is_told(tmp_path: Path) -> None:
    put_module(tmp_path, "M", {"LaunchSettings": {"Parallelism": "x"}, "Name": [], "GpuOptions": 3})
    [broken] = load(tmp_path).broken
    assert [error.key for error in broken.errors] == [
        "Modules.M.Name",
        "Modules.M.LaunchSettings.FilePath",
        "Modules.M.LaunchSettings.Parallelism",
        "Modules.M.GpuOptions",
    ]
    assert broken.reason.count("; ") == 3


def test_the_file_that_is_named_is_the_one_that_is_wrong(tmp_path: Path) -> None:
    put_module(tmp_path, "M")
    overlay = put_module(tmp_path, "M", {"LaunchSettings": {"Parallelism": "x"}}, suffix=".linux")
    assert only_error(load(tmp_path)).file == overlay
    override = {"Modules": {"M": {"LaunchSettings": {"Parallelism": "y"}}}}
    root_file = put(tmp_path / "modulesettings.json", override)
    assert only_error(load(tmp_path)).file == root_file
    put(root_file, {"Modules": {"M": 5}})
    assert only_error(load(tmp_path)).file == root_file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON"),
        ({}, "Modules: expected an object with exactly one module, got null"),
        ({"Modules": {}}, "Modules: expected an object with exactly one module, got none"),
        ({"Modules": {"A": MINIMAL, "B": MINIMAL}}, "with exactly one module, got A, B"),
    ],
)
def test_a_module_whose_id_nobody_knows_has_its_folders_name(
    tmp_path: Path, content: Any, message: str
) -> None:
    put(tmp_path / "modules" / "folder" / "modulesettings.json", content)
    settings = load(tmp_path)
    assert settings.broken[0].id == "folder"
    assert message in str(only_error(settings))


def test_a_folder_without_settings_is_a_broken_module(tmp_path: Path) -> None:
    (tmp_path / "modules" / "empty").mkdir(parents=True)
    assert "expected a readable file, got No such file" in str(only_error(load(tmp_path)))


def test_one_broken_module_leaves_the_others(tmp_path: Path) -> None:
    put_module(tmp_path, "A", "mud")
    put_module(tmp_path, "B")
    put(tmp_path / "modules" / "C" / "modulesettings.json", "{{{")
    settings = load(tmp_path)
    assert [module.id for module in settings.modules] == ["B"]
    assert [module.id for module in settings.broken] == ["A", "C"]


def test_an_id_belongs_to_one_module(tmp_path: Path) -> None:
    put_module(tmp_path, "Parrot", folder="one")
    put_module(tmp_path, "PARROT", folder="two")
    put_module(tmp_path, "parrot", folder="three")
    settings = load(tmp_path)
    assert [module.path.name for module in settings.modules] == ["one"]
    assert [module.id for module in settings.broken] == ["three", "two"]
    assert "expected an id that no other module has" in settings.broken[0].reason


def test_a_route_belongs_to_one_module(tmp_path: Path) -> None:
    put_module(tmp_path, "A", {**MINIMAL, "RouteMaps": [{"Route": "text/chat", "Command": "a"}]})
    routes = [{"Route": "other", "Command": "x"}, {"Route": "/Text/Chat/", "Command": "b"}]
    put_module(tmp_path, "B", {**MINIMAL, "RouteMaps": routes})
    error = only_error(load(tmp_path))
    assert error.key == "Modules.B.RouteMaps[1].Route"
    assert error.got.startswith("/Text/Chat/, a route of module A in ")


# --- what a module is launched with


def module_in(folder: Path, **section: Any) -> ModuleSettings:
    folder.mkdir(parents=True, exist_ok=True)
    return ModuleSettings.model_validate({"id": "Parrot", "path": folder, **MINIMAL, **section})


def test_the_environment_is_that_of_the_protocol(tmp_path: Path) -> None:
    module = module_in(
        tmp_path / "modules" / "Parrot",
        LaunchSettings={"FilePath": "a.py", "Parallelism": 3, "RequiredMb": 500},
        GpuOptions={"AcceleratorDeviceName": "cuda:1", "HalfPrecision": "disable"},
        EnvironmentVariables={"CPAI_LOG_VERBOSITY": "Loud", "DIR": "./models"},
    )
    host = server(tmp_path, Port=1234, DataDir="kept")
    env = module_environment(module, host, "abc", {"PATH": "/bin"})
    assert env == {
        "PATH": "/bin",
        "CPAI_PORT": "1234",
        "CPAI_HOST_URL": "http://127.0.0.1:1234",
        "CPAI_APPROOTPATH": str(tmp_path),
        "CPAI_DATA_DIR": str(tmp_path / "kept"),
        "CPAI_MODULE_SERVER_LAUNCHED": "true",
        "CPAI_MODULE_ID": "Parrot",
        "CPAI_MODULE_NAME": "Parrot",
        "CPAI_MODULE_PATH": str(tmp_path / "modules" / "Parrot"),
        "CPAI_MODULE_QUEUENAME": "parrot_queue",
        "CPAI_MODULE_INSTANCE_ID": "abc",
        "CPAI_MODULE_PARALLELISM": "3",
        "CPAI_MODULE_REQUIRED_MB": "500",
        "CPAI_MODULE_ENABLE_GPU": "True",
        "CPAI_ACCEL_DEVICE_NAME": "cuda:1",
        "CPAI_HALF_PRECISION": "disable",
        "CPAI_LOG_VERBOSITY": "Loud",
        "DIR": "./models",
        "CPAI_STORE_SHARED": "false",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(HOME),
    }


def test_variables_of_the_host_win_over_settings_but_not_over_identity(tmp_path: Path) -> None:
    module = module_in(tmp_path, EnvironmentVariables={"MODEL": "small", "CPAI_PORT": "1"})
    base = {
        "MODEL": "large",
        "CPAI_MODULE_PARALLELISM": "7",
        "CPAI_MODULE_ID": "the module that launched this host",
        "PYTHONPATH": "/elsewhere",
    }
    env = module_environment(module, server(tmp_path), "abc", base)
    assert env["MODEL"] == "large"
    assert env["CPAI_MODULE_PARALLELISM"] == "7"
    assert env["CPAI_MODULE_ID"] == "Parrot"
    assert env["CPAI_PORT"] == "32168"
    assert env["PYTHONPATH"] == os.pathsep.join([str(HOME), "/elsewhere"])
    assert base["CPAI_MODULE_ID"].startswith("the module")


def test_values_are_text_macros_are_filled_in_and_at_is_verbatim(tmp_path: Path) -> None:
    put(tmp_path / "modules" / "Parrot" / "modulesettings.json", LOOSE)
    settings = load(tmp_path)
    module = only(settings)
    env = module_environment(module, settings.server, "abc", {})
    assert env["PARROT_SIZE"] == "3"
    assert env["PARROT_LOUD"] == "True"
    assert "PARROT_NOTHING" not in env
    assert env["PARROT_REPO"] == "birds/%CURRENT_MODULE_PATH%"
    assert Path(env["PARROT_MODELS"]) == module.path / "assets"
    assert env["PARROT_SHARED"].endswith("shared;%UNKNOWN_MACRO%")
    assert env["CPAI_MODULE_ENABLE_GPU"] == "False"  # nothing for it was installed
    assert "CPAI_ACCEL_DEVICE_NAME" not in env


def test_a_python_module_runs_in_its_own_environment_if_it_has_one(tmp_path: Path) -> None:
    module = module_in(tmp_path)
    assert launch_command(module) == [sys.executable, str(tmp_path / "adapter.py")]
    (tmp_path / ".venv").mkdir()
    assert launch_command(module)[0].startswith(str(tmp_path / ".venv"))


@pytest.mark.parametrize(
    ("launch", "command"),
    [
        ({"FilePath": "bin\\Parrot.dll", "Runtime": "dotnet"}, ["dotnet", "bin/Parrot.dll"]),
        ({"FilePath": "parrot", "Runtime": "execute"}, ["parrot"]),
        ({"FilePath": "a.py", "Runtime": "whatever"}, [sys.executable, "a.py"]),
        ({"FilePath": "tool", "Runtime": "Python3.11"}, [sys.executable, "tool"]),
    ],
)
def test_other_runtimes(tmp_path: Path, launch: dict[str, Any], command: list[str]) -> None:
    module = module_in(tmp_path, LaunchSettings=launch)
    assert launch_command(module) == [*command[:-1], str(tmp_path / command[-1])]


def test_this_machine_has_the_names_of_the_field() -> None:
    machine = Machine.this()
    assert machine.os in ("linux", "macos", "windows")
    assert machine.arch not in ("x86_64", "amd64", "aarch64")
    assert machine.file_names()[2] == f"modulesettings.{machine.os}.{machine.arch}.json"
