"""`llamachat new`: what it makes answers at the next start, and its page has its inputs."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest
from puppet import Caller, running_host
from test_cli import llamachat, result

from host.cli.new_module import NewModuleError, new_module
from host.web.explorer import parse_fragment


async def test_it_answers_at_the_next_start(tmp_path: Path) -> None:
    server = {"Port": 0, "Store": "memory", "DataDir": "data"}
    (tmp_path / "modulesettings.json").write_text(json.dumps({"Server": server}), encoding="utf-8")
    code, out, err = await result(await llamachat("new", "Shout", "--root", str(tmp_path)))
    assert code == 0 and "llamachat selftest Shout" in out, err
    async with running_host(tmp_path) as host, aiohttp.ClientSession() as session:
        client = Caller(session, host.url)
        body = await client.post("/v1/shout/run", {"prompt": "good morning", "times": 2})
        path = f"/v1/commands/{body['commandId']}"
        while body["state"] in ("queued", "running"):
            body = (await client.call("GET", path, params={"wait": 20}))[1]
        assert body["reply"] == "GOOD MORNING " * 2
    code, _, err = await result(await llamachat("new", "Shout", "--root", str(tmp_path)))
    assert code == 1 and "choose another name" in err


def test_its_page_has_a_field_for_each_input(tmp_path: Path) -> None:
    page = (new_module(tmp_path, "Shout") / "explore.html").read_text(encoding="utf-8")
    fragment = parse_fragment(page, "Shout")
    assert 'name="prompt"' in fragment.html and "__" not in page.replace("_MID_", "")
    assert '<input type="number" name="times" value="1" min="1" max="100">' in fragment.html
    assert 'submitRequest("shout", "run"' in fragment.script


def test_a_name_that_is_no_name_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(NewModuleError, match="letters, digits"):
        new_module(tmp_path, "../elsewhere")
    assert not list(tmp_path.iterdir())
