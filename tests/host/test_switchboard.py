"""What every switchboard must do: one suite for both, two hosts where hosts share one."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from cutting_proxy import CuttingProxy
from redis_server import RedisServer

from host.store.redis import RedisConnections
from host.store.redis.scripts import script
from host.switchboard.memory import MemorySwitchboard
from host.switchboard.protocol import Sighting, Switchboard
from host.switchboard.redis import RedisSwitchboard
from host.wire import Control, system_payload


def cancel(command_id: str) -> Control:
    return {"type": "cancel", "commandId": command_id}


def question(reqid: str = "ask-1") -> Control:
    payload = system_payload("q", "selftest")
    return {"type": "request", "reqid": reqid, "payload": payload}


def sighting(instance_id: str) -> Sighting:
    now = time.time()
    return Sighting("Chat", instance_id, 2, now - 5, now, {"state": "ready", "slots": 2}, now - 1)


class SwitchboardSuite:
    """`here` and `there` come from the subclass: of two hosts, or twice the same."""

    async def test_mail_is_taken_once_and_in_order(
        self, here: Switchboard, there: Switchboard
    ) -> None:
        for n in range(3):
            await here.post("one", cancel(str(n)))
        await here.post("two", {"type": "quit"})
        assert await there.collect("one", limit=1) == [cancel("0")]
        assert await there.collect("one") == [cancel("1"), cancel("2")]
        assert await there.collect("one") == []
        assert await here.collect("two") == [{"type": "quit"}]

    async def test_what_is_shared_is_the_firsts(
        self, here: Switchboard, there: Switchboard
    ) -> None:
        assert await here.shared("sessions", "one") == "one"
        found = await there.shared("sessions", "two" if here is not there else "one")
        assert found == "one" == await here.shared("sessions", "one")
        assert await here.shared("another", "three") == "three"

    async def test_who_waits_is_woken(self, here: Switchboard, there: Switchboard) -> None:
        waiting = asyncio.create_task(there.wait("one", 30))
        await asyncio.sleep(0)
        await here.post("one", cancel("x"))
        await waiting
        assert await there.collect("one") == [cancel("x")]

    async def test_mail_that_is_there_is_not_waited_for(
        self, here: Switchboard, there: Switchboard
    ) -> None:
        await here.post("one", cancel("x"))
        await there.wait("one", 30)

    async def test_a_wait_ends_by_its_time_and_by_a_poke(self, here: Switchboard) -> None:
        await here.wait("one", 0.01)
        waiting = asyncio.create_task(here.wait("one", 30))
        while not waiting.done():
            here.poke("one")
            await asyncio.sleep(0.01)

    async def test_a_question_is_answered(self, here: Switchboard, there: Switchboard) -> None:
        asking = asyncio.create_task(here.ask("one", question(), 30))
        await there.wait("one", 30)
        assert await there.collect("one") == [question()]
        assert await there.answer("ask-1", {"success": True, "reply": "中"})
        assert await asking == {"success": True, "reply": "中"}
        assert not await there.answer("ask-1", {"success": False})

    async def test_an_answer_that_nobody_waits_for(
        self, here: Switchboard, there: Switchboard
    ) -> None:
        assert not await there.answer("ask-never", {})
        assert await here.ask("one", question("ask-late"), 0.05) is None
        await asyncio.sleep(0.05)
        assert not await there.answer("ask-late", {})

    async def test_closing_releases_who_waits(self, here: Switchboard) -> None:
        waiting = asyncio.create_task(here.wait("one", 30))
        await asyncio.sleep(0.05)
        await here.close()
        await waiting


class TestMemorySwitchboard(SwitchboardSuite):
    """One host."""

    @pytest.fixture
    def here(self) -> MemorySwitchboard:
        return MemorySwitchboard()

    @pytest.fixture
    def there(self, here: MemorySwitchboard) -> MemorySwitchboard:
        return here

    async def test_there_is_no_other_host(self, here: MemorySwitchboard) -> None:
        assert await here.exchange([sighting("one")]) == []

    async def test_the_mail_of_the_gone_is_dropped(self, here: MemorySwitchboard) -> None:
        await here.post("one", cancel("x"))
        here.drop("one")
        assert await here.collect("one") == []


class TestRedisSwitchboard(SwitchboardSuite):
    """Two hosts on one Redis."""

    @pytest.fixture
    def namespace(self) -> str:
        return secrets.token_hex(8)

    @pytest.fixture
    async def here(self, server: RedisServer, namespace: str) -> AsyncIterator[RedisSwitchboard]:
        made = RedisSwitchboard(RedisConnections(server.url, namespace=namespace))
        await made.open()
        yield made
        await made.close()

    @pytest.fixture
    async def there(self, server: RedisServer, namespace: str) -> AsyncIterator[RedisSwitchboard]:
        made = RedisSwitchboard(RedisConnections(server.url, namespace=namespace))
        await made.open()
        yield made
        await made.close()

    async def test_hosts_hear_of_each_others_instances(
        self, here: RedisSwitchboard, there: RedisSwitchboard
    ) -> None:
        assert await here.exchange([sighting("one"), sighting("two")]) == []
        heard = await there.exchange([sighting("three")])
        assert [one.instance_id for one in heard] == ["one", "two"]
        assert heard[0].status == {"state": "ready", "slots": 2}
        assert abs(heard[0].last_seen - time.time()) < 5
        assert [one.instance_id for one in await here.exchange([])] == ["three"]
        assert await there.exchange([]) == []

    async def test_mail_whose_answer_got_lost_is_handed_out_again(
        self, here: RedisSwitchboard, server: RedisServer, namespace: str
    ) -> None:
        proxy = CuttingProxy(server.url)
        await proxy.open()
        cut = RedisSwitchboard(RedisConnections(proxy.url, namespace=namespace))
        await cut.open()
        assert await cut.collect("one") == []  # Redis knows the script
        for n in range(3):
            await here.post("one", cancel(str(n)))
        proxy.cut_next_answer(script("collect").sha)
        assert await cut.collect("one", limit=2) == [cancel("0"), cancel("1")]
        assert proxy.cuts == 1
        assert await cut.collect("one") == [cancel("2")]
        await cut.close()
        await proxy.close()
