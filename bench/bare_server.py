"""The least that aiohttp does for the same answer: it parses the body and returns a ready JSON.

    python bench/bare_server.py ANSWER.json

Prints its address, and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from aiohttp import web


def make_app(answer: dict[str, Any]) -> web.Application:
    """`/form` parses a form, `/json` parses JSON; both answer with the same object."""

    async def form(request: web.Request) -> web.Response:
        await request.post()
        return web.json_response(answer)

    async def from_json(request: web.Request) -> web.Response:
        await request.json()
        return web.json_response(answer)

    app = web.Application()
    app.router.add_post("/form", form)
    app.router.add_post("/json", from_json)
    return app


async def serve(answer: dict[str, Any]) -> None:
    runner = web.AppRunner(make_app(answer), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
