"""A module that misbehaves on demand, with nothing but the standard library: the environment
variable HOW says in which way. Run by tests, as a host launches it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

HOST = os.environ["CPAI_HOST_URL"]
QUEUE = os.environ["CPAI_MODULE_QUEUENAME"]
MODULE = os.environ["CPAI_MODULE_ID"]
WHO = {"moduleId": MODULE, "instanceId": os.environ["CPAI_MODULE_INSTANCE_ID"]}
NONSENSE = (b"mud", b"[1, 2]", b'{"a":', b"\xff\xfe", b"null", b'"text"', b"")


def call(method: str, path: str, body: bytes | None = None, **query: str) -> dict[str, Any]:
    """One request; what is refused is no error here."""
    url = f"{HOST}{path}?{urllib.parse.urlencode({**WHO, **query})}"
    request = urllib.request.Request(url, body, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310
            text = response.read()
    except urllib.error.HTTPError as refused:
        refused.read()
        return {}
    return dict(json.loads(text)) if text else {}


def tell(**status: Any) -> None:
    form = urllib.parse.urlencode({"statusData": json.dumps(status)}).encode()
    call("POST", f"/v1/queue/updatemodulestatus/{MODULE}", form)


def take() -> dict[str, Any]:
    """The next command."""
    while not (work := call("GET", f"/v1/queue/{QUEUE}", protocol="2", wait="10")):
        pass
    return work


def ready(**more: Any) -> None:
    tell(state="ready", slots=1, **more)


def is_safe() -> bool:
    return os.environ.get("CPAI_MODULE_SAFE_MODE") == "true"


def serves_in_safe_mode() -> None:
    """It says what it gave up, and why as it was told, and answers every command."""
    reason = os.environ["CPAI_MODULE_SAFE_MODE_REASON"]
    ready(safeMode={"gaveUp": ["speed"], "reason": reason, "remedy": "run ./mend.sh"})
    while True:
        work = take()
        item = {"commandId": work["reqid"], "attempt": work["attempt"], "offset": 0}
        item |= {"text": "here I am", "result": {"success": True}}
        body = json.dumps({"commands": [item]}).encode()
        call("POST", f"/v1/modules/{MODULE}/progress", body)


def dies_in_its_test() -> None:
    tell(state="loading")
    tell(state="testing")
    if is_safe():
        serves_in_safe_mode()
    os.kill(os.getpid(), signal.SIGILL)


def hangs_in_its_test() -> None:
    while not is_safe():
        tell(state="testing")
        time.sleep(0.05)
    serves_in_safe_mode()


def exits() -> None:
    sys.exit("the device is on fire")


def betrays() -> None:
    """Its status names whose commands it has, and its last words quote them."""
    ready()
    work = take()
    ready(busy=1, commands=[work["reqid"]])
    while not (work["payload"]["values"][0]["value"] and os.path.exists("die")):
        time.sleep(0.02)
    sys.exit(f"the device cannot do {work['payload']['values']}")


def never_speaks() -> None:
    time.sleep(600)


def freezes() -> None:
    ready()
    take()
    os.kill(os.getpid(), signal.SIGSTOP)


def stalls() -> None:
    ready()
    take()
    while True:
        ready(busy=1)
        time.sleep(0.1)


def ignores_terminate() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    while True:
        ready()
        time.sleep(0.2)


def floods() -> None:
    ready()
    while True:
        sys.stderr.write("the sky is falling " * 20 + "\n")
        sys.stdout.write("x" * 100_000)


def answers_nonsense() -> None:
    ready()
    while True:
        work = take()
        call("POST", f"/v1/queue/{work['reqid']}", b"<html>mud</html>", attempt=work["attempt"])


def good_progress() -> None:
    call("POST", f"/v1/modules/{MODULE}/progress", json.dumps({"commands": []}).encode())


def talks_nonsense() -> None:
    """Every path a module uses, with every kind of nonsense; then nonsense progress for ever."""
    host, port = HOST.removeprefix("http://").split(":")
    for line in (b"HELLO\r\n\r\n", b"\x16\x03\x01\x02", b"GET / HTTP/9.9\r\n\r\n", b""):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(line)
    for body in NONSENSE:
        for path in ("queue/nobody", f"modules/{MODULE}/progress", "log"):
            call("POST", f"/v1/{path}", body)
        status = urllib.parse.urlencode({"statusData": body}).encode()
        call("POST", f"/v1/queue/updatemodulestatus/{MODULE}", status)
        call("POST", f"/v1/queue/updatemodulestatus/{MODULE}", body)
        good_progress()  # ends the row: what comes later is what it is to be ended for
    for odd in ({"commands": None}, {"commands": [{"commandId": 7}]}, {"commands": [[]]}):
        call("POST", f"/v1/modules/{MODULE}/progress", json.dumps(odd).encode())
    good_progress()
    for odd_status in ({"commands": "all", "busy": "very", "slots": [], "state": 7}, [], 5, None):
        text = json.dumps(odd_status)
        body = urllib.parse.urlencode({"statusData": text}).encode()
        call("POST", f"/v1/queue/updatemodulestatus/{MODULE}", body)
    call("GET", f"/v1/queue/{QUEUE}", wait="soon")
    call("GET", f"/v1/modules/{MODULE}/control", wait="-1")
    ready()
    take()
    print("talked", flush=True)
    while True:
        call("POST", f"/v1/modules/{MODULE}/progress", b"mud")
        time.sleep(0.02)


if __name__ == "__main__":
    globals()[os.environ["HOW"]]()
