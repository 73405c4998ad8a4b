"""Who uses the page, in real Chromium: signing in with a key and out; two browsers apart."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from explorer_site import Site, open_module
from playwright.sync_api import Browser, Page, expect
from real_host import RealHost

from host.access.keys import KeyFile
from host.access.principal import Role

# What a script in the page gets of a command, and what it does to one.
READ = "id => fetch(`/v1/commands/${id}`).then(answer => answer.status)"
STOP = """id => fetch("/v1/LlamaChat/cancel_command", {
  method: "POST", body: new URLSearchParams({commandId: id})}).then(answer => answer.status)"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return KeyFile(tmp_path_factory.mktemp("closed") / "data")


@pytest.fixture(scope="module")
def closed(keys: KeyFile) -> Iterator[RealHost]:
    """A host with a key."""
    keys.add("nobody", [Role.CHAT])
    host = RealHost(keys.path.parents[2])
    yield host
    host.close()


@pytest.fixture
def other(browser: Browser) -> Iterator[Page]:
    """The page of somebody else."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def ask(page: Page, base_url: str) -> str:
    """One question, answered; the id of its command."""
    chat = open_module(page, base_url, "LlamaChat")
    chat.get_by_label("Your question").fill("What can you do?")
    with page.expect_response("**/v1/text/chat") as started:
        chat.get_by_role("button", name="Send").click()
    expect(chat.locator(".lc-summary")).to_contain_text(re.compile("Complete|limit"))
    return str(started.value.json()["commandId"])


def test_signing_in_and_out(page: Page, other: Page, closed: RealHost, keys: KeyFile) -> None:
    anna, bob = (keys.add(name, [Role.CHAT])[1] for name in ("anna", "bob"))
    page.goto(closed.base_url)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_label("Key")).to_be_focused()
    expect(page.locator(".modules")).to_be_hidden()
    sign_in(page, "lc_wrong")
    expect(page.get_by_role("alert")).to_contain_text("does not know that key")
    sign_in(page, anna)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    command_id = ask(page, closed.base_url)
    expect(page.locator("#log")).to_be_hidden()
    assert page.evaluate("document.cookie") == ""

    other.goto(closed.base_url)
    assert other.evaluate(READ, command_id) == 401
    sign_in(other, bob)
    expect(other.get_by_role("button", name="Sign out")).to_be_visible()
    assert other.evaluate(READ, command_id) == other.evaluate(STOP, command_id) == 404
    assert page.evaluate(READ, command_id) == 200

    tab = page.context.new_page()
    tab.goto(closed.base_url)
    expect(tab.get_by_role("button", name="Sign out")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.evaluate(READ, command_id) == 401
    expect(page.locator("iframe")).to_have_count(0)
    for one in (page, tab):
        expect(one.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(tab, bob)
    for one in (page, tab):  # the other tab sees it too
        expect(one.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_revoked_key_closes_the_open_page(page: Page, closed: RealHost, keys: KeyFile) -> None:
    shown = keys.add("carl", [Role.OPERATOR])[1]
    page.goto(closed.base_url)
    sign_in(page, shown)
    expect(page.locator("#log")).to_be_visible()
    keys.revoke("carl")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#log")).to_be_hidden()
    expect(page.locator("iframe")).to_have_count(0)


@pytest.mark.parametrize(("theme", "width_px"), [("light", 1280), ("dark", 1280), ("dark", 360)])
def test_the_form_is_whole_in_every_theme_and_width(
    page: Page, closed: RealHost, tmp_path: Path, theme: str, width_px: int
) -> None:
    page.set_viewport_size({"width": width_px, "height": 700})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.goto(closed.base_url)
    sign_in(page, "")
    expect(page.get_by_role("alert")).to_contain_text("Enter the key")
    expect(page.get_by_role("button", name="Sign in")).to_be_in_viewport()
    body = page.locator("body")
    assert body.evaluate("element => element.scrollWidth <= element.clientWidth")
    page.screenshot(path=tmp_path / "form.png")


def test_two_browsers_without_keys_are_apart(page: Page, other: Page, site: Site) -> None:
    command_id = ask(page, site.base_url)
    other.goto(site.base_url)
    expect(other.locator(".host-state")).to_contain_text("Running")
    assert other.evaluate(READ, command_id) == other.evaluate(STOP, command_id) == 404
    assert page.evaluate(READ, command_id) == 200
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
