"""Fragments in their frames: published ones work, hostile ones reach nothing."""

import re

from explorer_site import open_module
from fragments import HOSTILE_SCRIPT
from playwright.sync_api import FilePayload, Page, expect
from stand_in import StandIn

ATTEMPTS = len(re.findall(r'^    "', HOSTILE_SCRIPT, re.MULTILINE))


def test_a_fragment_in_the_published_style_works(page: Page, stand_in: StandIn) -> None:
    frame = open_module(page, stand_in.base_url, "Published")
    frame.get_by_role("button", name="Send").click()
    command = stand_in.next_command()
    expect(frame.get_by_text("Sending prompt...")).to_be_visible()
    command.append("It is <b>this</b>")
    answer = frame.locator("#Published_answerText")
    expect(answer).to_have_text(
        "You: What is this?\nAssistant: It is <b>this</b>", use_inner_text=True
    )
    frame.get_by_role("button", name="Stop").click()
    expect(frame.get_by_role("button", name="Send")).to_be_visible()
    expect(frame.locator("#results")).to_contain_text(re.compile("Done|Command stopped"))
    assert command.is_cancelled


def test_alert_goes_to_the_results(page: Page, stand_in: StandIn) -> None:
    frame = open_module(page, stand_in.base_url, "Published")
    frame.locator("#Published_promptText").fill("")
    frame.get_by_role("button", name="Send").click()
    expect(frame.locator("#results")).to_have_text("No text was provided")


def test_markup_that_a_published_fragment_lets_through_stays_in_its_frame(
    page: Page, stand_in: StandIn
) -> None:
    frame = open_module(page, stand_in.base_url, "Published")
    prompt = "<img src=x onerror=\"parent.document.title='taken'; alert('ran')\">"
    frame.locator("#Published_promptText").fill(prompt)
    frame.get_by_role("button", name="Send").click()
    stand_in.next_command().finish()
    expect(frame.locator("#Published_answerText img")).to_have_count(1)
    expect(frame.get_by_role("button", name="Send")).to_be_visible()
    assert page.title() == "LlamaChat explorer"


def test_a_hostile_fragment_reaches_nothing(page: Page, stand_in: StandIn) -> None:
    open_module(page, stand_in.base_url, "LlamaChat")  # another module's frame is there to be read
    before = len(stand_in.requests)
    page.locator(".module", has_text="Hostile").click()
    frame = page.frame_locator('iframe[title="Hostile"]')
    expect(frame.locator("#done")).to_be_visible()
    report = frame.locator("#report li").all_text_contents()
    assert len(report) == ATTEMPTS
    assert [line for line in report if not line.startswith("blocked ")] == []
    posts = [line for line in stand_in.requests[before:] if line.startswith("POST")]
    assert posts == []
    assert not any("/v1/queue" in line for line in stand_in.requests)
    assert page.url == f"{stand_in.base_url}/#Hostile"
    expect(page.get_by_role("heading", name="LlamaChat explorer")).to_be_visible()


def test_a_fragment_opened_by_itself_is_sandboxed_too(page: Page, stand_in: StandIn) -> None:
    page.goto(f"{stand_in.base_url}/explorer/fragment/Images")
    assert page.evaluate("self.origin") == "null"
    outcome = """async (attempt) => {
        try { return `REACHED ${await attempt()}`; } catch (error) { return "blocked"; }
    }"""
    for attempt in ("() => localStorage.length", "() => fetch('/v1/module/list/status')"):
        assert page.evaluate(f"({outcome})({attempt})") == "blocked"
    answer = page.evaluate("submitRequest('Images', 'look', null, [])")
    assert not answer["success"]
    assert "inside the explorer" in answer["error"]
    assert not any("/v1/" in line for line in stand_in.requests)


def test_a_frame_that_leaves_is_closed(page: Page, stand_in: StandIn) -> None:
    frame = open_module(page, stand_in.base_url, "Leaving")
    frame.get_by_role("button", name="Leave").click()
    expect(page.get_by_text("The page of Leaving was closed")).to_be_visible()
    expect(page.locator('iframe[title="Leaving"]')).to_have_count(0)
    assert not any("/v1/queue" in line for line in stand_in.requests)
    page.locator(".module", has_text="Leaving").click()
    expect(page.locator('iframe[title="Leaving"]')).to_be_visible()


def test_files_go_through_the_bridge(page: Page, stand_in: StandIn) -> None:
    frame = open_module(page, stand_in.base_url, "Images")
    picture: FilePayload = {"name": "a.png", "mimeType": "image/png", "buffer": b"\x89PNG"}
    frame.locator("#Images_file").set_input_files(picture)
    expect(frame.locator("#Images_out")).to_have_text(
        '{"success":true,"route":"/v1/Images/look","fields":{"image1":"a.png","size":"3"}}'
    )


def test_a_link_in_a_reply_asks_before_it_leaves(page: Page, stand_in: StandIn) -> None:
    frame = open_module(page, stand_in.base_url, "LlamaChat")
    frame.get_by_label("Your question").fill("Where?")
    frame.get_by_role("button", name="Send").click()
    command = stand_in.next_command()
    command.append("[There](https://example.test/a?b=c)")
    command.finish()
    frame.get_by_role("link", name="There").click()
    expect(page.get_by_text("https://example.test/a?b=c")).to_be_visible()
    link = page.get_by_role("link", name="Open in a new tab")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    page.get_by_role("button", name="Stay here").click()
    expect(link).to_be_hidden()
    assert page.url == f"{stand_in.base_url}/#LlamaChat"
