"""A fragment in its frame sends nothing by WebRTC either, which no `connect-src` speaks of."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from explorer_site import open_module
from playwright.sync_api import Error, Page, expect
from stand_in import StandIn, write_page

# Says when the browser has asked all it may ask: then a packet was sent, or will never be.
CALLING_SCRIPT = """
(async () => {
    try {
        const servers = [{ urls: "stun:127.0.0.1:PORT" }];
        const peer = new RTCPeerConnection({ iceServers: servers });
        const gathered = new Promise((done) => peer.onicegatheringstatechange = () => {
            if (peer.iceGatheringState === "complete") done("called");
        });
        peer.createDataChannel("x");
        await peer.setLocalDescription(await peer.createOffer());
        parent.postMessage(await gathered, "*");
    } catch (error) {
        parent.postMessage("refused: " + error.name, "*");
    }
})();
"""
OUT = '<p id="out"></p>'
TELLS = """
const tell = (text) => { out.textContent += text; };
addEventListener("message", (event) => { if (event.source === frames[0]) tell(event.data); });
"""
CHILD = """
const frame = document.createElement("iframe");
frame.srcdoc = "<script>" + SCRIPT + "<\\/script>";
document.body.append(frame);
"""


class Listener:
    """A socket that counts the packets it gets."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.has_heard = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while packet := self._socket.recv(2048):
            self.packets.append(packet)
            self.has_heard.set()

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.mark.parametrize("where", ["fragment", "frame within"])
def test_a_fragment_calls_nobody(
    page: Page, tmp_path: Path, listener: Listener, where: str
) -> None:
    """Chromium ends the tab of a fragment that tries it from a frame of its own."""
    host = StandIn([write_page(tmp_path, "Caller", (), OUT, script(listener, where))])
    host.start()
    try:
        with suppress(Error, AssertionError) if where == "frame within" else nullcontext():
            frame = open_module(page, host.base_url, "Caller")
            expect(frame.locator("#out")).not_to_be_empty()
        assert listener.packets == []
    finally:
        host.close()


@pytest.mark.parametrize("where", ["fragment", "frame within"])
def test_without_the_hosts_headers_the_same_script_does(
    page: Page, listener: Listener, where: str
) -> None:
    """Or the test above would show nothing."""
    page.set_content(f"{OUT}<script>{script(listener, where)}</script>")
    assert listener.has_heard.wait(30)


def script(listener: Listener, where: str) -> str:
    """A fragment's script that calls, itself or in a frame that it makes."""
    calling = CALLING_SCRIPT.replace("PORT", str(listener.port))
    if where == "frame within":
        calling = CHILD.replace("SCRIPT", json.dumps(calling))
    else:
        calling = calling.replace("parent.postMessage(", "tell(").replace(', "*"', "")
    return TELLS + calling
