"""What every answer of a module carries on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sdk.host.answer_sender import enveloped
from sdk.host.wire import Work


@dataclass
class Signer:
    module_id: str = "M"
    module_name: str = "Module"
    inference_device: str = "GPU"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"success": True}, 200),
        ({"success": False, "error": "x"}, 500),
        ({"success": False, "error": "x", "code": 400}, 400),
        ({"success": True, "code": "ok"}, 200),
        ({"success": True, "code": True}, 200),
    ],
)
def test_the_envelope(answer: dict[str, Any], code: int) -> None:
    envelope = enveloped(answer, Work("7", {"command": "prompt"}), Signer())
    assert envelope["code"] == code
    assert envelope["moduleId"] == "M" and envelope["moduleName"] == "Module"
    assert envelope["command"] == "prompt" and envelope["requestId"] == "7"
    assert envelope["inferenceDevice"] == "GPU"
