"""A page on another origin, in a real browser: it can neither start a command nor read one."""

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page
from real_host import RealHost

# What a foreign page can try: with and without CORS, streams, images, frames, forms.
ATTACK = """
async (host) => {
  const seen = {};
  const note = async (name, attempt) => {
    try { seen[name] = await attempt(); } catch (error) { seen[name] = 'refused'; }
  };
  const post = {method: 'POST', body: new URLSearchParams({prompt: 'from a foreign page'})};
  await note('start', async () => (await fetch(host + '/v1/text/chat', post)).status);
  await note('blind start', async () =>
    (await fetch(host + '/v1/text/chat', {...post, mode: 'no-cors'})).type);
  await note('read', async () => (await fetch(host + '/v1/module/list/status')).status);
  await note('queue', async () =>
    (await fetch(host + '/v1/queue/llamachat_queue?moduleId=LlamaChat', {mode: 'no-cors'})).type);
  await note('image', () => new Promise((done, refuse) => {
    const image = new Image();
    image.onload = () => done('loaded');
    image.onerror = refuse;
    image.src = host + '/v1/queue/llamachat_queue?moduleId=LlamaChat';
  }));
  await note('events', () => new Promise((done, refuse) => {
    const stream = new EventSource(host + '/v1/commands/guess/events');
    stream.onopen = () => done('open');
    stream.onerror = () => { stream.close(); refuse(); };
  }));
  const frame = document.createElement('iframe');
  await note('form', () => new Promise((done) => {
    frame.name = 'target';
    document.body.append(frame);
    frame.onload = () => done('sent');
    const form = document.createElement('form');
    form.method = 'POST'; form.target = 'target'; form.action = host + '/v1/text/chat';
    form.innerHTML = '<input name="prompt" value="from a foreign form">';
    document.body.append(form);
    form.submit();
  }));
  return seen;
}
"""


@pytest.fixture
def foreign_url() -> Iterator[str]:
    """A page on another port: another origin."""

    class Blank(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>foreign</title><body></body>")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_foreign_page_gets_nothing(page: Page, real_host: RealHost, foreign_url: str) -> None:
    before = real_host.requests()
    page.goto(foreign_url)
    seen = page.evaluate(ATTACK, real_host.base_url)
    blind = {"blind start": "opaque", "queue": "opaque", "form": "sent"}  # sent, and refused there
    nothing = dict.fromkeys(("start", "read", "image", "events"), "refused")
    assert seen == {**nothing, **blind}
    log = real_host.get("/v1/log/list?count=1000")["entries"]
    assert not any("foreign" in entry["entry"] for entry in log)
    assert real_host.requests() == before
