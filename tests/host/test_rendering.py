"""Markdown is rendered beside the host: whatever comes, the host answers others meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import psutil
import pytest
from world import is_alive

from host.app import Host
from host.web.markdown import MAX_TEXT_CHARS
from host.web.rendering import MOST_WAITING, MarkdownRenderer, NotRendered

SLOW = ("|" + "a|" * 100 + "\n|" + "-|" * 100 + "\n" + ("|" * 100 + "\n") * 970)[:MAX_TEXT_CHARS]
PATH = "/v1/explorer/markdown"


@pytest.fixture
async def renderer() -> AsyncIterator[MarkdownRenderer]:
    made = MarkdownRenderer()
    yield made
    await made.close()


async def rendered(renderer: MarkdownRenderer, text: str, **options: Any) -> dict[str, Any]:
    return dict(json.loads(await renderer.render(text, **options)))


def workers() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [one for one in children if "host.web.render_worker" in one.cmdline()]


async def test_lengths_are_those_of_the_page(renderer: MarkdownRenderer) -> None:
    text = "😀 *é*\n\n中\n\nopen"
    assert await rendered(renderer, text) == {
        "success": True,
        "html": "<p>😀 <em>é</em></p>\n<p>中</p>\n<p>open</p>\n",
    }
    body = await rendered(renderer, text, is_growing=True)
    assert body["settled"] == {"textLength": 8, "htmlLength": len("<p>xx <em>é</em></p>\n")}
    assert (await rendered(renderer, "\ud800"))["html"] == "<p>?</p>\n"


async def test_there_is_no_process_before_it_is_needed_nor_after_the_end() -> None:
    renderer = MarkdownRenderer()
    assert workers() == []
    await renderer.render("a")
    [worker] = workers()
    await renderer.render("b")
    assert [one.pid for one in workers()] == [worker.pid]
    await renderer.close()
    assert not is_alive(worker.pid)


async def test_a_text_that_takes_too_long_is_given_up() -> None:
    renderer = MarkdownRenderer(limit_s=0.05)
    with pytest.raises(NotRendered, match=r"longer than 0.05 s") as error:
        await renderer.render(SLOW)
    assert not error.value.is_for_now
    await renderer.close()


async def test_a_process_that_died_is_replaced(renderer: MarkdownRenderer) -> None:
    await renderer.render("a")
    [worker] = workers()
    worker.kill()
    worker.wait()
    with pytest.raises(NotRendered, match="has ended") as error:
        await renderer.render("b")
    assert error.value.is_for_now
    assert (await rendered(renderer, "c"))["html"] == "<p>c</p>\n"


async def test_one_who_leaves_costs_the_others_nothing(renderer: MarkdownRenderer) -> None:
    await renderer.render("a")
    leaving = asyncio.create_task(renderer.render(SLOW))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await rendered(renderer, "b"))["html"] == "<p>b</p>\n"


async def test_thirty_bad_texts_hold_nobody_up(host: Host, session: aiohttp.ClientSession) -> None:
    async def post(text: str) -> tuple[int, str | None, dict[str, Any]]:
        async with session.post(host.url + PATH, json={"text": text}) as response:
            return response.status, response.headers.get("Retry-After"), await response.json()

    assert (await post("a"))[0] == 200
    asked = asyncio.gather(*(post(SLOW[:30_000]) for _ in range(30)))
    pings_s: list[float] = []
    while not asked.done():
        begin_s = time.monotonic()
        async with session.get(f"{host.url}/v1/status/ping") as response:
            assert response.status == 200
        pings_s.append(time.monotonic() - begin_s)
        await asyncio.sleep(0.01)
    answers = await asked
    assert sum(status == 200 for status, _, _ in answers) == MOST_WAITING + 1
    for status, retry_after, body in answers:
        if status == 503:
            assert (retry_after, body["retryAfterMs"], body["success"]) == ("1", 1000, False)
    assert sorted(pings_s)[len(pings_s) // 2] < 0.1
