"""What a module says it holds: what it claimed, until the host has confirmed its end."""

from __future__ import annotations

import threading
from typing import Any

from conftest import Serve
from fake_host import FakeHost
from stepping import Stepping

from sdk import LongProcess, RequestData


async def test_a_command_is_held_until_the_host_has_its_end(
    talkative: None, host: FakeHost, serve: Serve
) -> None:
    module = Stepping()
    service = await serve(module)
    command = host.post()
    await host.until(lambda: service.held() == [command.command_id])
    await host.until(
        lambda: host.statuses and host.statuses[-1]["commands"] == [command.command_id]
    )
    host.faults.extend(["lost", "lost"])
    module.permit()
    await host.finished(command)
    assert service.held() == [command.command_id], "the host's word for it got lost"
    await host.until(lambda: not service.held())
    await host.until(lambda: host.statuses[-1]["commands"] == [])


async def test_one_that_is_still_being_looked_at_is_held(host: FakeHost, serve: Serve) -> None:
    go = threading.Event()

    class Thinking(Stepping):
        def process(self, data: RequestData) -> LongProcess:
            go.wait()
            return super().process(data)

    module = Thinking()
    service = await serve(module)
    command = host.post()
    await host.until(lambda: service.held() == [command.command_id])
    go.set()
    module.permit()
    await host.finished(command)
    await host.until(lambda: not service.held())


async def test_an_answer_that_is_not_delivered_is_held(host: FakeHost, serve: Serve) -> None:
    class Plain(Stepping):
        def process(self, data: RequestData) -> Any:
            host.refusal = 503
            return {"answer": 42}

    service = await serve(Plain())
    command = host.post(is_long=False)
    await host.until(lambda: host.refusal)
    await host.until(lambda: service.held() == [command.command_id])
    host.refusal = 0
    assert (await host.answered(command))["answer"] == 42
    await host.until(lambda: not service.held())
