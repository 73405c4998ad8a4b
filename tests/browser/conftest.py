"""Fixtures of the browser tests: Chromium, a page, and the site it looks at.

`site` is what the tests of the main job need: the real host, as a child process, with LlamaChat and
the built-in model. The tests that script a command's states use `stand_in`, a host at the seam.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from explorer_site import Site, open_module
from fragments import (
    HOSTILE_HTML,
    HOSTILE_SCRIPT,
    LEAVING_HTML,
    LEAVING_SCRIPT,
    OWN_HTML,
    OWN_SCRIPT,
    PUBLISHED_HTML,
    PUBLISHED_SCRIPT,
)
from playwright.sync_api import Browser, FrameLocator, Page, expect, sync_playwright
from real_host import RealHost
from stand_in import StandIn, write_page

from host.web.explorer import ModulePage

ROOT_PATH = Path(__file__).parents[2]
EXPECT_TIMEOUT_MS = 15_000
# The address line's popup is two pages of its own in each window: most of what a window costs. The
# rest is what Playwright leaves out for pages' sake, whose list this one replaces.
LEFT_OUT = [
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup"),
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades"),
    *("HttpsFirstBalancedModeAutoEnable", "PaintHolding", "ThirdPartyStoragePartitioning"),
]
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--disable-features={','.join(LEFT_OUT)}",
    "--host-resolver-rules=MAP *.test 127.0.0.1",  # names that others give to this machine
]


@pytest.fixture(scope="module")  # its event loop must be gone when tests elsewhere start theirs
def browser() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: install it, or name it in the environment variable CHROMIUM")
    expect.set_options(timeout=EXPECT_TIMEOUT_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page; a modal dialog fails the test: only a script that got loose could open one."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    dialogs: list[str] = []

    def note(dialog: object) -> None:
        dialogs.append(str(dialog))

    page.on("dialog", note)
    yield page
    context.close()
    assert dialogs == []


@pytest.fixture(scope="session")
def module_pages(tmp_path_factory: pytest.TempPathFactory) -> list[ModulePage]:
    folder = tmp_path_factory.mktemp("modules")
    chat = ModulePage("LlamaChat", "LlamaChat", ROOT_PATH / "modules/LlamaChat", ("text/chat",))
    return [
        chat,
        write_page(folder, "Published", ("Published/chat",), PUBLISHED_HTML, PUBLISHED_SCRIPT),
        write_page(folder, "Hostile", ("Hostile/own",), HOSTILE_HTML, HOSTILE_SCRIPT),
        write_page(folder, "Images", ("Images/look",), OWN_HTML, OWN_SCRIPT),
        write_page(folder, "Leaving", (), LEAVING_HTML, LEAVING_SCRIPT),
    ]


@pytest.fixture
def stand_in(module_pages: list[ModulePage]) -> Iterator[StandIn]:
    host = StandIn(module_pages)
    host.start()
    yield host
    host.close()


@pytest.fixture(scope="module")
def real_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHost]:
    host = RealHost(tmp_path_factory.mktemp("deployment"))
    yield host
    host.close()


@pytest.fixture
def site(real_host: RealHost) -> Site:
    return real_host


@pytest.fixture
def chat(page: Page, stand_in: StandIn) -> FrameLocator:
    """LlamaChat's fragment in the explorer of the stand-in host."""
    return open_module(page, stand_in.base_url, "LlamaChat")
