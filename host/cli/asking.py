"""Commands to a host that runs: `ask`, `status`, `drain`, `restart`."""

from __future__ import annotations

import argparse
import asyncio
import logging
from typing import Any

from host.app import Host
from host.cli.arguments import (
    Commands,
    add_host,
    launched_of,
    run_interruptible,
    settings_of,
    token_of,
    url_of,
)
from host.cli.ask import ask
from host.cli.drain import drain
from host.cli.environments import ensure_environments
from host.cli.restart import restart
from host.cli.status import status
from host.settings import Settings


def add_to(commands: Commands) -> None:
    """Their parsers."""
    question = commands.add_parser("ask", help="ask the chat, and print the reply as it grows")
    question.add_argument("prompt")
    question.add_argument("--system", help="who the assistant is to be")
    question.add_argument("--max-tokens", type=int, help="0 = until the model ends")
    question.add_argument("--temperature", type=float, help="0 = always the likeliest word")
    add_host(question, "ask")
    question.add_argument(
        "--serve", action="store_true", help="run a host of its own for the time of the question"
    )
    question.set_defaults(run=_ask)

    overview = commands.add_parser("status", help="show a running host's modules")
    add_host(overview, "ask")
    overview.set_defaults(run=_status)

    drain_it = commands.add_parser("drain", help="let what runs on a host finish, then end it")
    add_host(drain_it, "end")
    drain_it.set_defaults(run=_drain)

    again = commands.add_parser("restart", help="launch one module of a running host anew")
    again.add_argument("module", help="the module's id, such as LlamaChat")
    add_host(again, "tell")
    again.set_defaults(run=_restart)


def _ask(arguments: argparse.Namespace) -> int:
    values = {
        "prompt": arguments.prompt,
        "system_prompt": arguments.system,
        "max_tokens": arguments.max_tokens,
        "temperature": arguments.temperature,
    }
    values = {key: value for key, value in values.items() if value is not None}
    if not arguments.serve:
        url = url_of(arguments)
        token = token_of(arguments, url)
        return run_interruptible(lambda: ask(url, values, token))
    logging.disable()  # what went wrong is in the reply
    settings = settings_of(arguments.root, port=0, store="memory")  # it ends with the answer
    ensure_environments(launched_of(settings), settings.server)
    return run_interruptible(lambda: _ask_own_host(settings, values))


async def _ask_own_host(settings: Settings, values: dict[str, Any]) -> int:
    host = Host(settings)
    try:
        await host.start()
        return await ask(host.url, values, host.access.own_token)
    finally:
        await host.stop()


def _status(arguments: argparse.Namespace) -> int:
    url = url_of(arguments)
    return asyncio.run(status(url, token_of(arguments, url)))


def _drain(arguments: argparse.Namespace) -> int:
    url = url_of(arguments)
    token = token_of(arguments, url)
    return run_interruptible(lambda: drain(url, token))


def _restart(arguments: argparse.Namespace) -> int:
    url = url_of(arguments)
    return asyncio.run(restart(url, arguments.module, token_of(arguments, url)))
