"""What lies around the application: every request begins and ends here.

Invariant: whatever is wrong with a request, also what aiohttp refuses by itself, is answered with
`{success: false, error, code}` under a true status. This is one function around aiohttp's router,
not a chain of middlewares: each of these costs every poll.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from host.web.connections import Connection
from host.web.errors import refusal_of, told


def answer_all(runner: web.AppRunner, check: Callable[[web.Request], None]) -> None:
    """Of a runner that is set up: `check` sees every request before any handler does."""
    server = runner.server
    assert server is not None, "set up first"  # noqa: S101
    route = server.request_handler

    async def answer(request: web.Request) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)  # noqa: S101  Connections makes no others
        connection.begins()
        try:
            try:
                check(request)
                response = await route(request)
            except ConnectionError:
                raise  # the client has gone: nobody is left to be told
            except Exception as error:
                if isinstance(error, web.HTTPException) and error.status < 400:
                    raise
                # no name for it in this frame, which its traceback has: a body in the frames
                # between would stay until Python looks for circles
                response = told(refusal_of(error, request), request)
            if not request.content.is_eof():
                await connection.answer_first(request, response)
            return response
        finally:
            connection.rests()

    server.request_handler = answer  # type: ignore[assignment]
