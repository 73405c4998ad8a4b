"""The button that launches a module anew: asked twice, and said what went wrong."""

import json

from explorer_site import open_module
from playwright.sync_api import Page, expect
from stand_in import StandIn

RESTART = "/v1/modules/LlamaChat/restart"


def test_a_module_is_restarted_after_a_yes_and_only_then(page: Page, stand_in: StandIn) -> None:
    open_module(page, stand_in.base_url, "LlamaChat")
    page.locator("#facts summary").click()
    dialog = page.locator("#restart-dialog")
    page.get_by_role("button", name="Restart this module").click()
    expect(dialog).to_contain_text("Restart LlamaChat?")
    dialog.get_by_role("button", name="Leave it").click()
    expect(dialog).to_be_hidden()
    assert f"POST {RESTART}" not in stand_in.requests
    page.get_by_role("button", name="Restart this module").click()
    with page.expect_response(f"**{RESTART}"):
        dialog.get_by_role("button", name="Restart it").click()
    expect(dialog).to_be_hidden()
    assert stand_in.requests.count(f"POST {RESTART}") == 1


def test_a_refusal_is_said_in_the_dialog(page: Page, stand_in: StandIn) -> None:
    body = json.dumps({"success": False, "error": "expected a request from this machine"})
    page.route(f"**{RESTART}", lambda route: route.fulfill(status=403, body=body))
    open_module(page, stand_in.base_url, "LlamaChat")
    page.locator("#facts summary").click()
    page.get_by_role("button", name="Restart this module").click()
    dialog = page.locator("#restart-dialog")
    dialog.get_by_role("button", name="Restart it").click()
    expect(dialog).to_contain_text("expected a request from this machine")
    expect(dialog.get_by_role("button", name="Restart it")).to_be_enabled()
