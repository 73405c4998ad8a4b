"""How families of models write what they think and which tools they call.

Invariant: the format is told by the chat template alone, since that is what the model was trained
with; a template that says nothing of it means text, and `<think>` at its beginning.

Sources: the model cards and chat templates of the families; for gpt-oss
https://github.com/openai/harmony
"""

from __future__ import annotations

from dataclasses import dataclass

from llama_engine.chat.chat_backend import ChatMessage

HERMES, LLAMA, MISTRAL, DEEPSEEK, GEMMA, GPT_OSS = (
    "hermes", "llama", "mistral", "deepseek", "gemma", "gpt-oss",
)  # fmt: skip
CLOSES_GEMMA = {"<start_function_call>": "<end_function_call>", "<|tool_call>": "<tool_call|>"}
"""What opens a call of Gemma's, and what closes it."""
_CALLS = (
    ("<|channel|>", GPT_OSS, ""),
    ("<｜tool▁calls▁begin｜>", DEEPSEEK, "<｜tool▁calls▁begin｜>"),
    ("[TOOL_CALLS]", MISTRAL, "[TOOL_CALLS]"),
    ("<start_function_call>", GEMMA, "<start_function_call>"),
    ("<|tool_call>", GEMMA, "<|tool_call>"),
    ("<tool_call>", HERMES, "<tool_call>"),
    ("<|start_header_id|>", LLAMA, "<|python_tag|>"),
)
"""What a template has, the family, and what opens a call."""
_THINKING = (
    ("[THINK]", "[/THINK]"),
    ("<|channel>thought", "<channel|>"),
    ("<seed:think>", "</seed:think>"),
    ("<think>", "</think>"),
)


@dataclass(frozen=True)
class ReplyFormat:
    """`family` is empty where the template knows no calls; `opens_call` comes before one.
    `thinking` is what opens and what closes a thought; gpt-oss has channels for it.
    `knows_thoughts` says whether the template has anything to do with them."""

    family: str = ""
    opens_call: str = ""
    thinking: tuple[str, str] | None = _THINKING[-1]
    knows_thoughts: bool = False

    def has_opened(self, prompt: str) -> bool:
        """Whether the model goes on with a thought that the prompt begins."""
        if self.family == GPT_OSS or self.thinking is None:
            return False
        return prompt.rstrip().endswith(self.thinking[0])

    def begun(self, prompt: str, message: ChatMessage) -> str:
        """What the assistant has said of its reply, as the model would have written it."""
        thought, said = message.get("reasoning_content", ""), message["content"]
        if self.family == GPT_OSS:
            return _in_channels(thought, said)
        opens, closes = self.thinking or ("", "")
        if self.has_opened(prompt):
            return f"{thought}\n{closes}\n\n{said}" if said else thought
        if not thought:
            return said
        return f"{opens}\n{thought}" + (f"\n{closes}\n\n{said}" if said else "")


PLAIN = ReplyFormat(thinking=None)
"""Text alone."""


def format_of(template: str) -> ReplyFormat:
    """The format that a chat template belongs to."""
    known = next((each for each in _THINKING if each[1] in template), None)
    thinking, knows = known or _THINKING[-1], known is not None
    for has, family, opens in _CALLS:
        if has in template:
            return ReplyFormat(family, opens, thinking, knows or family == GPT_OSS)
    return ReplyFormat(thinking=thinking, knows_thoughts=knows)


def _in_channels(thought: str, said: str) -> str:
    analysis = f"<|channel|>analysis<|message|>{thought}" if thought else ""
    if not said:
        return analysis
    between = "<|end|><|start|>assistant" if thought else ""
    return f"{analysis}{between}<|channel|>final<|message|>{said}"
