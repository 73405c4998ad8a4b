"""A host that is away, refuses, or comes back as another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from conftest import MODULE_ID, Serve
from fake_host import FakeHost
from stepping import Stepping

from sdk.host import protocol_watch
from sdk.host.client import HostAddress
from sdk.host.errors import HostDenied, HostUnavailable
from sdk.host.reachability import SAY_AGAIN_S, Reachability
from sdk.process import module_service
from sdk.process.launch import Launch
from sdk.process.module_service import ModuleService


@pytest.fixture
async def other_host() -> AsyncIterator[FakeHost]:
    server = FakeHost()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(autouse=True)
def ask_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_watch, "LOOK_AGAIN_S", 0.05)


async def test_what_fails_is_said_once_and_so_is_its_return(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = 100.0
    reachability = Reachability(lambda: now_s)
    assert reachability.away_s == 0
    with caplog.at_level("INFO", logger="sdk"):
        for _ in range(3):
            reachability.fails("http://gpu", HostUnavailable("connection refused"))
        now_s += 30
        assert reachability.away_s == 30 and reachability.is_lost
        reachability.works("http://gpu")
        reachability.works("http://gpu")
        assert reachability.away_s == 0 and not reachability.is_lost
    assert [record.message for record in caplog.records] == [
        "no host for this module at http://gpu: connection refused. Trying again until there is "
        "one",
        "the host at http://gpu answers again",
    ]
    caplog.clear()
    now_s += SAY_AGAIN_S
    reachability.fails("http://gpu", HostUnavailable("connection refused"))
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "give it a key of the host with the role module, with --token"), (403, "let")],
)
async def test_a_refusal_is_said_and_the_command_is_kept(
    host: FakeHost, serve: Serve, caplog: pytest.LogCaptureFixture, status: int, words: str
) -> None:
    module = Stepping()
    await serve(module)
    command = host.post(steps=2)
    module.permit()
    await host.until(lambda: command.text == "0")
    host.refusal = status
    module.permit()
    await host.until(lambda: words in caplog.text)
    assert f"does not let this module in: it answers {status}: this host refuses" in caplog.text
    host.refusal = 0
    await host.finished(command)
    assert command.text == "01"


def test_a_denial_is_something_to_try_again() -> None:
    assert isinstance(HostDenied(401, ""), HostUnavailable)


async def test_a_host_that_speaks_another_protocol_when_it_returns(
    host: FakeHost, serve: Serve
) -> None:
    module = Stepping()
    service = await serve(module)
    command = host.post(steps=2)
    module.permit()
    await host.until(lambda: command.text == "0")
    await host.stop()
    host.protocol = 1
    await host.start()
    host.queries.clear()
    await host.until(lambda: any("instanceId" not in query for query in host.queries))
    await host.stop()
    host.protocol = 2
    await host.start()
    module.permit()
    await host.finished(command)
    assert command.text == "01"
    await host.until(lambda: not service.held())


async def test_what_is_no_host_at_all_is_asked_again(
    host: FakeHost, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    host.refusal = 404  # a proxy in front of nothing, say
    module = Stepping()
    await serve(module)
    await host.until(lambda: "no host for this module" in caplog.text)
    host.refusal = 0
    command = host.post()
    module.permit()
    await host.finished(command)
    assert command.attempt and host.progress_reports, "it speaks protocol 2 now"


async def test_another_host_on_the_same_store_takes_over(
    host: FakeHost, other_host: FakeHost
) -> None:
    module = Stepping()
    module.module_id = MODULE_ID
    address = HostAddress(
        host.url, MODULE_ID, "testmodule_queue", "instance1", more_urls=(other_host.url,)
    )
    service = ModuleService(module, Launch(address))
    running = asyncio.ensure_future(service.run())
    command = host.post(steps=2)
    module.permit()
    await host.until(lambda: command.text == "0")
    other_host.commands[command.command_id] = command
    await host.stop()
    module.permit()
    await other_host.finished(command)
    assert command.text == "01"
    service.quit("the test is over")
    await running


async def test_draining_finishes_what_runs_and_claims_no_more(
    host: FakeHost, serve: Serve, finish: Callable[[], Awaitable[int]]
) -> None:
    module = Stepping()
    await serve(module)
    command = host.post(steps=2)
    module.permit()
    await host.until(lambda: command.text == "0")
    host.drain()
    await host.until(lambda: host.statuses[-1]["state"] == "draining")
    later = host.post()
    module.permit()
    assert await finish() == 0
    result = await host.finished(command)
    assert command.text == "01" and result["stop_reason"] == "completed"
    assert later.text == "" and not later.answers


async def test_draining_without_any_host_ends(
    host: FakeHost,
    serve: Serve,
    finish: Callable[[], Awaitable[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module_service, "HOSTLESS_LIMIT_S", 0.1)
    module = Stepping()
    service = await serve(module)
    command = host.post()
    await host.until(lambda: service.held() == [command.command_id])
    await host.stop()
    service.drain("the host is gone")
    module.permit()
    assert await finish() == 0
