"""The main job in a real browser, on any site that has LlamaChat: ask, watch, stop, ask again."""

import re

from explorer_site import Site, open_module
from playwright.sync_api import Page, expect

PAYLOAD = "<img src=x onerror=alert(1)>"


def test_a_prompt_is_answered_and_the_history_stays(page: Page, site: Site) -> None:
    chat = open_module(page, site.base_url, "LlamaChat")
    box = chat.get_by_label("Your question")
    for number in (1, 2):
        box.fill(f"Question number {number}")
        box.press("Enter")
        turn = chat.locator(".lc-turn").nth(number - 1)
        expect(turn.locator(".lc-body")).not_to_be_empty()
        expect(turn.locator(".lc-summary")).to_contain_text(re.compile("Complete|limit"))
        expect(box).to_have_value("")
    expect(chat.get_by_text("Question number 1")).to_be_visible()
    expect(chat.get_by_role("button", name="Send")).to_be_visible()


def test_markup_in_a_prompt_is_shown_and_not_run(page: Page, site: Site) -> None:
    chat = open_module(page, site.base_url, "LlamaChat")
    chat.get_by_label("Your question").fill(PAYLOAD)
    chat.get_by_role("button", name="Send").click()
    expect(chat.locator(".lc-prompt")).to_have_text(PAYLOAD)
    expect(chat.locator(".lc-summary")).to_be_visible()
    expect(chat.locator("img")).to_have_count(0)
    expect(chat.locator("#results")).to_be_hidden()  # where an alert's text would have gone


def test_nothing_is_cut_off_in_either_theme(page: Page, site: Site) -> None:
    chat = open_module(page, site.base_url, "LlamaChat")
    for theme, width_px in (("light", 390), ("dark", 1440), ("dark", 390), ("light", 1440)):
        page.set_viewport_size({"width": width_px, "height": 844})
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        expect(chat.locator("html")).to_have_attribute("data-theme", theme)
        expect(chat.get_by_role("button", name="Send")).to_be_in_viewport()
        for body in (page.locator("body"), chat.locator("body")):
            assert body.evaluate("element => element.scrollWidth <= element.clientWidth")
