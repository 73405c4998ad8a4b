"""What the browser tests know of a site: where it is, and how to open a module's fragment there."""

from typing import Protocol

from playwright.sync_api import FrameLocator, Page, expect


class Site(Protocol):
    """A running host."""

    base_url: str


def open_module(page: Page, base_url: str, name: str) -> FrameLocator:
    """Open the explorer at a module, and wait until its fragment is there."""
    page.goto(f"{base_url}/#{name}")
    frame = page.frame_locator(f'iframe[title="{name}"]')
    expect(frame.locator("#explorer-fragment")).to_be_visible()
    return frame
