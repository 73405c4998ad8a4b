"""The page that `llamachat new` makes: its form, filled in by a user, gets the reply."""

from pathlib import Path

from explorer_site import open_module
from playwright.sync_api import Page, expect
from real_host import RealHost

from host.cli.new_module import new_module


def test_its_form_starts_a_command_and_shows_the_reply(page: Page, tmp_path: Path) -> None:
    new_module(tmp_path / "modules", "Shout")
    host = RealHost(tmp_path)
    try:
        fragment = open_module(page, host.base_url, "Shout")
        fragment.get_by_label("Text").fill("good morning")
        fragment.get_by_label("How often").fill("2")
        fragment.get_by_role("button", name="Send").click()
        expect(fragment.locator("#Shout_reply")).to_have_text("GOOD MORNING GOOD MORNING ")
    finally:
        host.close()
