"""Pages that mean harm, in a real browser: under a name that was rebound to this machine, and from
another site over plain HTTP, where a browser sends no `Sec-Fetch-Site`.

Each knows the id of a command that waits. Nothing is read, started or stopped.
"""

import http.server
import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from puppet import write_root
from real_host import RealHost

# Every way in which a page makes its browser send something. `host` is a base address.
ATTACK = """
async ({host, id}) => {
  const read = {};
  const status = `${host}/v1/Puppet/get_command_status`, start = `${host}/v1/text/tell`;
  const cancel = `${host}/v1/Puppet/cancel_command`, command = `${host}/v1/commands/${id}`;
  const poll = `${host}/v1/queue/puppet_queue?moduleId=Puppet&instanceId=evil&wait=0`;
  const form = new URLSearchParams({commandId: id, prompt: 'evil'});
  const post = {method: 'POST', body: form};
  const fetched = async (name, url, options) => {
    try {
      const reply = await fetch(url, options);
      if (reply.type !== 'opaque' && reply.ok) read[name] = await reply.text();
    } catch (error) { /* refused */ }
  };
  for (const policy of ['no-referrer', 'unsafe-url']) {
    for (const mode of ['cors', 'no-cors']) {
      const how = {mode, referrerPolicy: policy, credentials: 'include'};
      const said = `${mode}, ${policy}`;
      await fetched(`start, ${said}`, start, {...post, ...how});
      await fetched(`cancel, ${said}`, cancel, {...post, ...how});
      await fetched(`cancel by GET, ${said}`, `${cancel}?${form}`, how);
      await fetched(`start by GET, ${said}`, `${host}/v1/text/ask?prompt=evil`, how);
      await fetched(`status, ${said}`, `${status}?${form}`, how);
      await fetched(`poll, ${said}`, poll, how);
      await fetched(`log, ${said}`, `${host}/v1/log`, {...post, ...how});
      await fetched(`drain, ${said}`, `${host}/v1/server/drain`, {...post, ...how});
    }
    await fetched(`delete, ${policy}`, command, {method: 'DELETE', referrerPolicy: policy});
    for (const src of [`${cancel}?${form}`, poll, `${host}/v1/text/ask?prompt=evil`]) {
      await new Promise((done) => {
        const image = new Image();
        image.referrerPolicy = policy;
        image.onload = image.onerror = done;
        image.src = src;
      });
    }
    for (const sandbox of [null, 'allow-forms']) {
      for (const action of [start, cancel, `${host}/v1/server/drain`]) {
        await new Promise((done) => {
          const frame = document.createElement('iframe');
          if (sandbox) frame.sandbox = sandbox;
          frame.name = `frame${document.querySelectorAll('iframe').length}`;
          document.body.append(frame);
          const sent = document.createElement('form');
          Object.assign(sent, {method: 'POST', target: frame.name, action});
          sent.innerHTML = [['commandId', id], ['prompt', 'evil']]
            .map(([name, value]) => `<input name="${name}" value="${value}">`).join('');
          document.body.append(sent);
          frame.onload = done;
          sent.submit();
        });
      }
    }
  }
  await new Promise((done) => {
    const stream = new EventSource(`${command}/events`);
    stream.onmessage = (event) => { read.events = event.data; };
    stream.onopen = () => { read.events ??= 'open'; done(); };
    stream.onerror = () => { stream.close(); done(); };
  });
  navigator.sendBeacon(cancel, form);
  return read;
}
"""
# The same from a frame whose origin is null: a sandboxed document.
FROM_NULL = """
async (given) => {
  const frame = document.createElement('iframe');
  frame.sandbox = 'allow-scripts allow-forms';
  frame.srcdoc = `<body><script>(${given.attack})(${JSON.stringify(given)})
    .then((read) => parent.postMessage(read, '*'))<` + '/script>';
  const answer = new Promise((done) => addEventListener('message', (event) => done(event.data)));
  document.body.append(frame);
  return answer;
}
"""


class WaitingHost(RealHost):
    """A real host that is called chat.test too, with a module that takes commands and begins none:
    one command waits."""

    def __init__(self, folder: Path, **server: Any) -> None:
        write_root(folder, AllowedHosts=["chat.test"], **server)
        settings = folder / "modules" / "Puppet" / "modulesettings.json"
        module = json.loads(settings.read_text())
        ask = {"Name": "Ask", "Route": "text/ask", "Method": "GET", "Command": "ask"}
        module["Modules"]["Puppet"]["RouteMaps"].append({**ask, "LongProcess": True})
        settings.write_text(json.dumps(module))
        self._serve(folder)
        path = "/v1/queue/updatemodulestatus/Puppet?instanceId=p1"
        self._post(path, b"statusData=" + json.dumps({"state": "ready"}).encode())
        self.waiting = str(self._post("/v1/text/tell", b"prompt=hello")["commandId"])

    @property
    def port(self) -> str:
        return self.base_url.rsplit(":", 1)[1]

    def _post(self, path: str, body: bytes) -> Any:
        with urllib.request.urlopen(self.base_url + path, data=body) as answer:  # noqa: S310
            return json.load(answer)

    def state(self) -> tuple[str, dict[str, Any]]:
        """Of the command that waits, and of everything else that is counted."""
        status = self.get(f"/v1/Puppet/get_command_status?commandId={self.waiting}")
        stats = self.get("/v1/stats")
        names = ("waiting", "running", "completed", "cancelled", "failed")
        counts = {name: stats["queues"][0][name] for name in names}
        return status["state"], counts | {"draining": stats["draining"]}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WaitingHost]:
    made = WaitingHost(tmp_path_factory.mktemp("deployment"))
    yield made
    made.close()


@pytest.fixture
def evil_port() -> Iterator[int]:
    """A server of pages with nothing on them; what they do, the test says."""

    class Blank(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title><body></body>")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def assert_untouched(real: WaitingHost, page: Page, script: str, **given: str) -> None:
    given = {"id": real.waiting, **given}
    before = real.state()
    assert before[0] == "queued"
    assert page.evaluate(script, given) == {}
    assert real.state() == before
    log = real.get("/v1/log/list?count=1000")["entries"]
    assert not any("evil" in entry["entry"] for entry in log)
    listed = json.dumps(real.get("/v1/module/list/status"))
    assert "evil" not in listed


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "chat.test"])
def test_a_page_of_another_site(host: WaitingHost, page: Page, evil_port: int, name: str) -> None:
    page.goto(f"http://evil.test:{evil_port}/")
    assert_untouched(host, page, ATTACK, host=f"http://{name}:{host.port}")


def test_a_page_without_an_origin(host: WaitingHost, page: Page, evil_port: int) -> None:
    page.goto(f"http://evil.test:{evil_port}/")
    address = f"http://chat.test:{host.port}"
    assert_untouched(host, page, FROM_NULL, host=address, attack=ATTACK.strip())


def test_a_name_that_was_rebound(host: WaitingHost, page: Page) -> None:
    """The page's own name leads to this machine now: to its browser it is the same site."""
    answer = page.goto(f"http://evil.test:{host.port}/")
    assert answer is not None and answer.status == 403
    assert_untouched(host, page, ATTACK, host=f"http://evil.test:{host.port}")


def test_the_hosts_own_page_works_under_its_name(host: WaitingHost, page: Page) -> None:
    page.goto(f"http://chat.test:{host.port}/")
    status = page.evaluate(
        """async () => {
          const post = async (path, values) => {
            const body = new URLSearchParams(values);
            return (await fetch(path, {method: 'POST', body})).json();
          };
          const {commandId} = await post('/v1/text/tell', {prompt: 'hello'});
          return (await post('/v1/Puppet/get_command_status', {commandId})).state;
        }"""
    )
    assert status == "queued"


GUEST = """
async ({host}) => {
  const headers = {'Authorization': 'Bearer mine', 'Content-Type': 'application/json'};
  const body = JSON.stringify({prompt: 'hello'});
  let id = '';
  const status = async (path, options) => {
    try {
      const reply = await fetch(host + path, options);
      if (reply.ok) id = (await reply.json()).commandId ?? id;
      return reply.status;
    } catch (error) { return 'refused'; }
  };
  const start = await status('/v1/text/tell', {method: 'POST', headers, body});
  const events = new EventSource(`${host}/v1/commands/${id}/events`);
  const opened = new Promise((done) => {
    events.onopen = () => done('open');
    events.onerror = () => done('refused');
  });
  return {
    start,
    events: await opened,
    cookies: await status('/v1/status/ping', {credentials: 'include'}),
    drain: await status('/v1/server/drain', {method: 'POST', headers}),
  };
}
"""


def test_a_page_that_is_let_in_is_a_guest(tmp_path: Path, page: Page, evil_port: int) -> None:
    """It asks as clients do, and reads the answers; with cookies it reads none."""
    host = WaitingHost(tmp_path / "root", AllowedOrigins=[f"http://mine.test:{evil_port}"])
    try:
        page.goto(f"http://mine.test:{evil_port}/")
        seen = page.evaluate(GUEST, {"host": host.base_url})
        assert seen == {"start": 200, "events": "open", "cookies": "refused", "drain": 403}
        page.goto(f"http://other.test:{evil_port}/")
        seen = page.evaluate(GUEST, {"host": host.base_url})
        assert set(seen.values()) == {"refused"}
    finally:
        host.close()
