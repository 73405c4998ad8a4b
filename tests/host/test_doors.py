"""Every route stands behind the check of who may pass it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiohttp import web

from host.web.doors import Doors


async def answer(request: web.Request) -> web.StreamResponse:
    return web.Response()


def test_a_route_beside_them_starts_no_host() -> None:
    app, nobody = web.Application(), cast(Any, None)
    doors = Doors(app, nobody, nobody)
    doors.add_get("/through", answer)
    doors.check_all()
    app.router.add_get("/beside", answer)
    with pytest.raises(RuntimeError, match=r"/beside.*add it through Doors"):
        doors.check_all()
