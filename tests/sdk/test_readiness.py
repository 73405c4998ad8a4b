"""Loading, testing, then ready or failed: a module that does not work is not ready."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from conftest import Serve
from fake_host import FakeHost
from stepping import Stepping

from sdk.process import self_test


def states(host: FakeHost) -> list[str]:
    """The states that were told, each once, in their order."""
    return list(dict.fromkeys(status["state"] for status in host.statuses))


async def test_it_is_ready_when_its_selftest_has_passed(host: FakeHost, serve: Serve) -> None:
    load, test = threading.Event(), threading.Event()

    class Careful(Stepping):
        def initialise(self) -> None:
            load.wait()

        def selftest(self) -> Any:
            assert self._performing_self_test
            test.wait()
            return {"success": True}

    module = Careful()
    await serve(module)
    command = host.post()
    await host.until(lambda: states(host) == ["loading"])
    load.set()
    await host.until(lambda: states(host) == ["loading", "testing"])
    assert not command.was_claimed
    test.set()
    module.permit()
    await host.finished(command)
    await host.until(lambda: states(host) == ["loading", "testing", "ready"])
    assert not module._performing_self_test


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ({"success": False, "error": "two and two are five"}, "two and two are five"),
        ({"success": False}, "selftest() failed without giving a reason"),
        (None, "selftest() returned None, expected a dict"),
        (OSError("no device"), "OSError: no device"),
    ],
)
async def test_a_failed_selftest_is_said_everywhere(
    host: FakeHost, serve: Serve, outcome: Any, reason: str
) -> None:
    class Faulty(Stepping):
        def selftest(self) -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    await serve(Faulty())
    result = await host.finished(host.post())
    assert result["success"] is False and result["code"] == 503
    words = f"its self-test failed: {reason}"
    assert words in result["error"]
    await host.until(lambda: host.statuses[-1]["state"] == "failed")
    assert host.statuses[-1]["error"].startswith(words)
    await host.until(lambda: any(words in entry["entry"] for entry in host.logs))


async def test_a_selftest_that_does_not_end_has_failed(
    host: FakeHost, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "LIMIT_S", 0.05)
    go = threading.Event()

    class Hanging(Stepping):
        def selftest(self) -> Any:
            go.wait()
            return {"success": True}

    await serve(Hanging())
    await host.until(lambda: host.statuses and host.statuses[-1]["state"] == "failed")
    assert "has not ended within 0.05 s" in host.statuses[-1]["error"]
    go.set()
