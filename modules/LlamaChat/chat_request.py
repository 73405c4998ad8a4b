"""What a client may ask of the route text/chat, checked.

Invariant: a value that cannot be used is an error that names the field, what was expected and what
came; nothing is corrected silently.
"""

from __future__ import annotations

from dataclasses import dataclass

from sdk import RequestData, RequestError

DEFAULT_TEMPERATURE = 0.4
HIGHEST_TEMPERATURE = 2.0


@dataclass(frozen=True)
class ChatRequest:
    """One question. `max_tokens` 0 is as many as the context holds."""

    prompt: str
    system_prompt: str | None
    max_tokens: int
    temperature: float

    @classmethod
    def from_data(cls, data: RequestData) -> ChatRequest:
        """Raises RequestError."""
        prompt = data.get_value("prompt")
        if prompt is None or not prompt.strip():
            raise RequestError("prompt", "a text that is not blank", prompt)
        return cls(
            prompt=_with_plain_lines(prompt),
            system_prompt=_with_plain_lines(data.get_value("system_prompt") or "") or None,
            max_tokens=data.get_int("max_tokens", 0, minimum=0),
            temperature=data.get_float(
                "temperature", DEFAULT_TEMPERATURE, minimum=0.0, maximum=HIGHEST_TEMPERATURE
            ),
        )


def _with_plain_lines(text: str) -> str:
    """Browsers send every line break of a form as CR LF; models were trained on LF."""
    return text.replace("\r\n", "\n")
