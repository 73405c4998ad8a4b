"""The whole house in one process and its children: host, queue, module, llama.cpp."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from chat import ROOT, Chat
from make_model import make_model

from host.app import Host
from host.processes.supervision import Timing
from host.settings import load_settings

Launch = Callable[..., Awaitable[Chat]]


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random-weight model: a second or more for 100 tokens, and it never ends by itself."""
    return make_model(
        tmp_path_factory.mktemp("slow") / "slow.gguf",
        **{"layers": 24, "width": 512, "ffn": 2048, "heads": 8, "kv_heads": 2},
        **{"vocab_tokens": 8000, "context_tokens": 4096, "quantisation": "Q8_0"},
    )


@asynccontextmanager
async def launching(folder: Path) -> AsyncIterator[Launch]:
    """Start a host with LlamaChat on a free port; without a model file it has the guide."""
    async with AsyncExitStack() as stack:

        async def start(
            model: Path | None = None, timing: Timing | None = None, **variables: str
        ) -> Chat:
            settings = load_settings(ROOT)
            own = {"port": 0, "data_dir": Path(tempfile.mkdtemp(dir=folder))}
            settings = replace(settings, server=settings.server.model_copy(update=own))
            env: dict[str, Any] = {**os.environ, **variables}
            if model is not None:
                env["CPAI_MODULE_LLAMA_MODEL_DIR"] = str(model.parent)
                env["CPAI_MODULE_LLAMA_MODEL_FILENAME"] = model.name
            host = Host(settings, timing=timing, base_env=env)
            stack.push_async_callback(host.stop)
            await host.start()
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Chat(session, host)

        yield start


@pytest_asyncio.fixture(loop_scope="module")
async def launch(tmp_path: Path) -> AsyncIterator[Launch]:
    """Hosts of one test."""
    async with launching(tmp_path) as start:
        yield start


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slow_chat(
    tmp_path_factory: pytest.TempPathFactory, slow_model: Path
) -> AsyncIterator[Chat]:
    """A chat on the slow model, one reply at a time: one for all tests of a file."""
    async with launching(tmp_path_factory.mktemp("slow_chat")) as start:
        yield await start(slow_model, CPAI_MODULE_PARALLELISM="1")
