"""A store that cannot be reached for a while: everybody is told so, and everything goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller, Puppet, running_host, write_root

from host.app import Host
from host.store.memory import MemoryStore
from host.store.protocol import StoreUnavailable

_WITHOUT_IO = {"open", "close", "is_kept", "is_shared"}


class LeavingStore(MemoryStore):
    """A store that can be made to go away."""

    is_away = False

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name in _WITHOUT_IO or name == "is_away" or not self.is_away:
            return super().__getattribute__(name)

        async def unavailable(*args: Any, **kwargs: Any) -> None:
            raise StoreUnavailable("nobody answers at redis://somewhere")

        return unavailable


@pytest.fixture
def store() -> LeavingStore:
    return LeavingStore()


@pytest.fixture
async def host(tmp_path: Path, store: LeavingStore) -> AsyncIterator[Host]:
    async with running_host(write_root(tmp_path), store=store) as running:
        yield running


async def test_every_request_hears_when_to_ask_again(
    store: LeavingStore, puppet: Puppet, client: Caller, session: aiohttp.ClientSession
) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    store.is_away = True
    item = {"commandId": command_id, "attempt": work["attempt"], "offset": 0, "text": "x"}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/text/tell", {"json": {"prompt": "x"}}),
        ("POST", "/v1/Puppet/get_command_status", {"json": {"commandId": command_id}}),
        ("POST", "/v1/Puppet/cancel_command", {"json": {"commandId": command_id}}),
        ("GET", f"/v1/commands/{command_id}", {}),
        ("GET", f"/v1/commands/{command_id}/events", {}),
        ("DELETE", f"/v1/commands/{command_id}", {}),
        ("GET", "/v1/stats", {}),
        ("GET", "/v1/queue/puppet_queue", {"params": {**puppet.query, "wait": "0"}}),
        ("POST", f"/v1/queue/{command_id}", {"params": puppet.query, "json": {"success": True}}),
        (
            "POST",
            "/v1/modules/Puppet/progress",
            {"params": puppet.query, "json": {"commands": [item]}},
        ),
    ]
    for method, path, values in requests:
        async with session.request(method, client.url + path, **values) as response:
            body = await response.json()
        assert (path, response.status, body["code"]) == (path, 503, 503)
        assert response.headers["Retry-After"] == "2" and body["retryAfterMs"] == 2000
        assert "the store is not available now: nobody answers" in body["error"]
    for path in ("/v1/status/ping", "/v1/module/list/status", "/v1/log/list"):
        assert (await client.call("GET", path))[0] == 200
    store.is_away = False
    assert (await puppet.finish(work, 0, "done"))["accepted"]
    assert (await client.status(command_id))["reply"] == "done"


async def test_the_sweep_says_it_once_and_goes_on(host: Host, store: LeavingStore) -> None:
    store.is_away = True
    for _ in range(3):
        await host.sweeper.sweep()
    store.is_away = False
    await host.sweeper.sweep()
    lines = [entry.entry for entry in host.log.list(count=100) if "the store is" in entry.entry]
    assert lines == [
        "the store is away: nobody answers at redis://somewhere",
        "the store is back",
    ]


async def test_an_answer_that_would_not_be_sent_again_is_kept(
    store: LeavingStore, old_puppet: Puppet, client: Caller
) -> None:
    waiting = asyncio.create_task(client.call("POST", "/v1/text/talk"))
    work = await old_puppet.take()
    store.is_away = True
    status, _ = await old_puppet.answer(work, success=True, predictions=[1])
    assert status == 200
    store.is_away = False
    assert (await waiting)[1]["predictions"] == [1]


async def test_readers_of_events_are_let_go_to_come_again(
    store: LeavingStore, puppet: Puppet, client: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.work.follow.IDLE_S", 0.5)  # when a reader looks again by itself
    command_id = await client.tell()
    work = await puppet.take()
    await puppet.progress(work, 0, "one")
    url = f"{client.url}/v1/commands/{command_id}/events"
    async with client.session.get(url) as response:
        assert b"id: 3" in await response.content.readline()
        await puppet.progress(work, 3, "two")
        store.is_away = True
        text = await response.text()
    assert "event: done" not in text
    store.is_away = False
    await puppet.finish(work, 6, "")
    async with client.session.get(url, headers={"Last-Event-ID": "3"}) as response:
        assert '"delta":"two"' in await response.text()
