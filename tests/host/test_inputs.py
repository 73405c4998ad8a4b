"""What a start is refused for, and what it is warned of, by what its route declares."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from puppet import Caller, Puppet

from host.settings import RouteParameter
from host.web.errors import RequestRefused
from host.web.inputs import Inputs
from host.wire import File, Payload

TELL = "/v1/text/tell"


def payload(*files: str) -> Payload:
    sent: list[File] = [
        {"name": name, "filename": name, "contentType": "image/png", "data": ""} for name in files
    ]
    return {"queue": "", "command": "", "urlSegments": [], "values": [], "files": sent}


def declared(name: str, is_required: bool = True) -> RouteParameter:
    return RouteParameter.model_validate({"Name": name, "Type": "File", "Required": is_required})


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("max_tokens", "1_0", "an integer of at least 0, got '1_0'"),
        ("temperature", "nan", "a number from 0 to 2, got 'nan'"),
        ("aloud", "perhaps", "true or false, got 'perhaps'"),
        ("bias", "x", "a JSON object, got 'x'"),
        ("bias", "[1]", "a JSON object, got '[1]'"),
        ("voice", "middle", "one of low, high, got 'middle'"),
        ("date", "2026-011", "a text that matches [0-9]{4}-[0-9]{2}, got '2026-011'"),
    ],
)
async def test_what_is_declared_is_checked_at_the_start(
    puppet: Puppet, client: Caller, field: str, value: str, expected: str
) -> None:
    status, body = await client.call("POST", TELL, json={"prompt": "hello", field: value})
    assert (status, body["error"]) == (400, f"{field}: expected {expected}")


async def test_what_is_right_passes_and_blank_counts_as_absent(
    puppet: Puppet, client: Caller
) -> None:
    right: dict[str, Any] = {"bias": {"1": 2}, "voice": "low", "date": "2026-11", "aloud": True}
    for values in (right, dict.fromkeys(right, " "), {"max_tokens": " 5 "}):
        body = await client.post(TELL, {"prompt": "hello", **values})
        assert body["success"] and "warnings" not in body


async def test_unknown_fields_are_named_and_not_refused(puppet: Puppet, client: Caller) -> None:
    body = await client.post(TELL, {"prompt": "hello", "max_token": 5, "qq": 1})
    close, far = body["warnings"]
    assert close == "max_token: this route has no such input; did you mean max_tokens?"
    assert far.startswith("qq: this route has no such input; expected one of prompt, max_tokens,")
    assert "warnings" not in await client.status(body["commandId"])


async def test_a_file_does_not_count_as_a_text(puppet: Puppet, client: Caller) -> None:
    form = aiohttp.FormData()
    form.add_field("prompt", b"hello", filename="prompt.txt")
    status, body = await client.call("POST", TELL, data=form)
    assert (status, body["error"]) == (400, "prompt: expected a text, got nothing")


def test_required_files_are_counted_whatever_they_are_called() -> None:
    names = ("photo", "mask")
    required = [declared(one) for one in names]
    Inputs(required).check(payload("image1", "image2"))
    Inputs([declared("photo", is_required=False)]).check(payload())
    with pytest.raises(RequestRefused, match=r"^photo: expected a file, .* got no file"):
        Inputs(required).check(payload())
    with pytest.raises(RequestRefused, match=r"^mask: expected a file, .* got 1 of 2 files"):
        Inputs(required).check(payload("photo"))


def test_an_input_that_another_one_may_replace() -> None:
    either = [
        RouteParameter.model_validate({"Name": "prompt", "RequiredUnless": "messages"}),
        RouteParameter.model_validate({"Name": "messages", "Json": "array"}),
    ]

    def sent(**values: str) -> Payload:
        listed = [{"key": key, "value": [value]} for key, value in values.items()]
        return {**payload(), "values": listed}  # type: ignore[typeddict-item]

    for right in ({"prompt": "hello"}, {"messages": "[1]"}, {"prompt": " ", "messages": "[1]"}):
        Inputs(either).check(sent(**right))
    for wrong, got in (({}, "nothing"), ({"prompt": " ", "messages": " "}, "an empty one")):
        with pytest.raises(
            RequestRefused, match=rf"^prompt: expected a text, or messages, got {got}"
        ):
            Inputs(either).check(sent(**wrong))
