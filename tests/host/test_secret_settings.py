"""What is wrong with the settings is said, and what is secret in them is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from puppet import write_root

from host.settings import SettingsError, load_settings
from host.settings.errors import shown

SECRET = "5c1e9f-geheim"


@pytest.mark.parametrize(
    "server",
    [
        {"ModulToken": SECRET},
        {"Passwort": SECRET, "password": SECRET},
        {"ApiKey": [SECRET]},
        {"ModuleToken": {"value": SECRET}},
        {"Sotre": f"redis://user:{SECRET}@10.0.0.1:6379/0"},
        {"Store": f"redis:/user:{SECRET}@10.0.0.1:6379/0"},
        {"Store": f"redis//:{SECRET}/@:@10.0.0.1:6379/0"},
        {"Store": f"reddis://10.0.0.1/0?username=a&password={SECRET}&x=y"},
        {"Unknown": {"deep": [{"Secret": SECRET}]}},
    ],
)
def test_a_mistyped_secret_is_not_shown(tmp_path: Path, server: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(write_root(tmp_path, **server))
    assert SECRET not in str(raised.value)
    assert next(iter(server)) in str(raised.value)


def test_a_section_that_is_none_shows_no_secret(tmp_path: Path) -> None:
    root = write_root(tmp_path)
    text = f'{{"Server": [{{"ModuleToken": "{SECRET}"}}]}}'
    (root / "modulesettings.json").write_text(text)
    with pytest.raises(SettingsError) as raised:
        load_settings(root)
    assert SECRET not in str(raised.value)


def test_everything_else_is_shown() -> None:
    assert shown("10.0.0.1:6379", "Host") == '"10.0.0.1:6379"'
    assert shown(True, "UseKeys") == "true"
    assert shown("redis://user:pass@h:1/0", "Store") == '"redis://user:***@h:1/0"'
