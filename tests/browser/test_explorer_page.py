"""The page around the fragments: modules, themes, the log, a host that went away."""

from typing import Any

from explorer_site import open_module
from playwright.sync_api import Browser, Page, expect
from stand_in import StandIn

STATES: list[tuple[dict[str, Any], str, str]] = [
    ({"status": "Starting", "statusData": {}}, "Starting", "a large model can take a minute"),
    ({"status": "Started", "statusData": {"state": "loading"}}, "Loading", "loading its model"),
    (
        {"status": "Started", "statusData": {"state": "failed", "error": "half.gguf is truncated"}},
        "Failed",
        "half.gguf is truncated",
    ),
    ({"status": "Crashed", "reason": "exit code -9"}, "Crashed", "exit code -9"),
    ({"status": "FailedStart", "statusData": None}, "Failed to start", "could not be started"),
    ({"status": "Stopped"}, "Stopped", "It has been stopped."),
]


def test_a_module_says_how_it_is(page: Page, stand_in: StandIn) -> None:
    names = [f"Module {number}" for number in range(len(STATES))]
    stand_in.statuses = [
        {"moduleId": name, "name": name, **fields}
        for name, (fields, _, _) in zip(names, STATES, strict=True)
    ]
    page.goto(stand_in.base_url)
    for name, (_, label, reason) in zip(names, STATES, strict=True):
        module = page.locator(".module", has_text=name)
        expect(module.locator(".pill")).to_have_text(label)
        module.click()
        expect(page.locator("#notice")).to_contain_text(reason)
    stand_in.statuses[-1].update(status="Started", statusData={"state": "ready"})
    expect(page.locator(".module", has_text=names[-1]).locator(".pill")).to_have_text("Ready")
    expect(page.locator("#notice")).to_contain_text("This module has no page of its own")


def test_safe_mode_is_said_with_its_reason_and_its_remedy(page: Page, stand_in: StandIn) -> None:
    told = {"gaveUp": ["flash attention", "the GPU"], "reason": "it died", "remedy": "Run ./mend"}
    instance = {"machine": "box", "status": "Started", "safeMode": told}
    chat = stand_in.status_of("LlamaChat")
    chat.update(status="Started", statusData={"state": "ready"}, safeMode=told)
    chat["instances"] = [instance]
    open_module(page, stand_in.base_url, "LlamaChat")
    pill = page.locator(".module", has_text="LlamaChat").locator(".pill")
    expect(pill).to_have_text("Started (safe mode)")
    expect(pill).to_have_attribute("data-tone", "wait")
    expect(page.locator("#notice-title")).to_have_text("LlamaChat: started (safe mode)")
    expect(page.locator("#notice-text")).to_have_text("It died.\nRun ./mend.")
    page.locator("#facts summary").click()
    expect(page.locator(".facts-list")).to_contain_text("flash attention, the GPU")
    expect(page.locator(".facts-table")).to_contain_text("Started (safe mode)")
    chat.update(safeMode=None)
    expect(pill).to_have_text("Ready")
    expect(page.locator("#notice")).to_be_hidden()


def test_a_module_that_is_tried_again_says_when(page: Page, stand_in: StandIn) -> None:
    chat = stand_in.status_of("LlamaChat")
    chat.update(status="Crashed", reason="no memory left", nextTry="2025-01-02T10:21:30.000+00:00")
    open_module(page, stand_in.base_url, "LlamaChat")
    expect(page.locator("#notice-text")).to_contain_text("no memory left\nIt is tried again at ")
    expect(page.locator("#notice-text")).to_contain_text("21:30")
    detail = page.locator(".module", has_text="LlamaChat").locator(".module-detail")
    expect(detail).to_have_text("no memory left")


def test_markup_in_a_reason_is_text(page: Page, stand_in: StandIn) -> None:
    reason = "<img src=x onerror=alert(1)>"
    stand_in.status_of("LlamaChat").update(status="Crashed", reason=reason)
    stand_in.log_lines.append(reason)
    page.goto(f"{stand_in.base_url}/#LlamaChat")
    expect(page.locator("#notice-text")).to_have_text(reason)
    expect(page.locator("#log-latest")).to_have_text(f"host: {reason}")


def test_a_host_that_went_away_is_said_and_found_again(page: Page, stand_in: StandIn) -> None:
    page.goto(stand_in.base_url)
    expect(page.get_by_text("Running 0.1.0")).to_be_visible()
    stand_in.is_unreachable = True
    expect(page.get_by_role("alert")).to_contain_text("No answer from the host since")
    expect(page.get_by_text("Host unreachable")).to_be_visible()
    stand_in.is_unreachable = False
    expect(page.get_by_text("Running 0.1.0")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_theme_is_kept_and_reaches_the_frame(page: Page, stand_in: StandIn) -> None:
    frame = open_module(page, stand_in.base_url, "LlamaChat")
    page.get_by_role("button", name="Use the dark theme").click()
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.get_by_role("button", name="Use the light theme")).to_be_visible()
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")


def test_the_log_follows(page: Page, stand_in: StandIn) -> None:
    page.goto(stand_in.base_url)
    page.get_by_role("button", name="Log").click()
    lines = page.locator("#log-lines li")
    expect(lines).to_have_count(2)
    stand_in.log_lines.append("LlamaChat failed to load its model")
    expect(lines).to_have_count(3)
    expect(lines.last).to_contain_text("failed to load")


def test_no_page_breaks_its_own_policy(browser: Browser, stand_in: StandIn) -> None:
    context = browser.new_context()
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    frame = open_module(page, stand_in.base_url, "LlamaChat")
    frame.get_by_role("button", name="What can you do?").click()
    command = stand_in.next_command()
    command.append("# Title\n\n| a | b |\n|:-|-:|\n| 1 | 2 |")
    command.finish()
    expect(frame.locator("td").last).to_have_css("text-align", "right")
    page.get_by_role("button", name="Log").click()
    page.get_by_role("button", name="Use the").click()
    context.close()
    assert complaints == []


def test_a_choice_in_the_address_is_taken(page: Page, stand_in: StandIn) -> None:
    page.goto(f"{stand_in.base_url}/#Images")
    expect(page.locator('iframe[title="Images"]')).to_be_visible()
    page.goto("about:blank")
    page.goto(f"{stand_in.base_url}/#%E0%A4%A")
    expect(page.locator("iframe")).to_have_count(1)


def test_the_facts_of_a_module(page: Page, stand_in: StandIn) -> None:
    instance = {
        "instanceId": "local-1",
        "machine": "gpu-1",
        "status": "Started",
        "slots": 4,
        "busy": 3,
        "pid": 77,
        "lastSeen": "2025-01-02T10:20:30Z",
        "reason": None,
    }
    other = {**instance, "machine": "gpu-2", "status": "Crashed", "reason": "no memory left"}
    stand_in.status_of("LlamaChat").update(restarts=2, instances=[instance, other])
    stand_in.queues = [
        {
            "moduleId": "LlamaChat",
            "waiting": 5,
            "running": 4,
            "completed": 12,
            "cancelled": 1,
            "failed": 0,
            "meanRunMs": 3200,
            "expectedWaitMs": 6400,
        }
    ]
    page.goto(f"{stand_in.base_url}/#LlamaChat")
    facts = page.locator("#facts")
    expect(facts.locator("summary")).to_have_text(
        "Ready · 4 running · 5 waiting · a new one waits about 6 s · restarted 2 times"
    )
    facts.locator("summary").click()
    rows = facts.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("gpu-1")
    expect(rows.first).to_contain_text("3 of 4")
    expect(rows.last).to_contain_text("Crashed: no memory left")
    expect(facts).to_contain_text("12 completed, 1 cancelled")
    expect(facts).to_contain_text("3.2 s on average")


def test_a_dead_module_shows_its_last_words(page: Page, stand_in: StandIn) -> None:
    stand_in.log_category = "LlamaChat"
    stand_in.log_lines.append("<b>half.gguf</b> failed to load")
    stand_in.status_of("LlamaChat").update(status="Crashed", reason="killed: out of memory")
    page.goto(f"{stand_in.base_url}/#LlamaChat")
    facts = page.locator("#facts")
    expect(facts).to_have_attribute("open", "")
    expect(page.locator("#notice")).to_contain_text("killed: out of memory")
    expect(facts.locator(".facts-log li").last).to_have_text("<b>half.gguf</b> failed to load")


def test_a_store_that_is_away_is_said(page: Page, stand_in: StandIn) -> None:
    stand_in.store_error = "the store is not available now: nobody answers"
    page.goto(stand_in.base_url)
    expect(page.get_by_role("alert")).to_contain_text("the store is not available now")
    expect(page.get_by_role("alert")).to_contain_text("Nothing is lost")
    expect(page.get_by_text("Its store is away")).to_be_visible()
    stand_in.store_error = None
    expect(page.get_by_text("Running 0.1.0")).to_be_visible()
    stand_in.is_draining = True
    expect(page.get_by_text("Draining: begins nothing new")).to_be_visible()
