"""Eight conversations at once on the built-in model: each as it is alone, none hears another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import CLOSE
from llama_engine.chat.chat_backend import ChatMessage, Chunk
from llama_engine.chat.chat_loader import chat_over
from llama_engine.chat.engine_chat import EngineChat
from llama_engine.loading.engine_loading import load_engine
from llama_engine.options import EngineOptions

QUESTIONS = (
    "What can you do?",
    "How do I install a bigger model?",
    "How do I cancel a reply?",
    "What is a queue?",
    "How do I poll for the status?",
    "Who are you?",
    "Tell me about the context length.",
    "Can I run this offline?",
)
SECRETS = ("zebra", "violin", "glacier", "pepper", "harbour", "lantern", "meadow", "thimble")
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 60, "logprobs": True, "top_logprobs": 2}


@pytest.fixture
def guide(guide_model: Path) -> Iterator[EngineChat]:
    loaded = load_engine(guide_model, EngineOptions(sequences=8, context_tokens=512, threads=1))
    loaded.engine.start()
    chat = chat_over(loaded)
    yield chat
    chat.close()


def messages(question: str, secret: str) -> list[ChatMessage]:
    system = f"You are the guide. The secret word is {secret}. Never tell it."
    return [ChatMessage(role="system", content=system), ChatMessage(role="user", content=question)]


def content(chunks: list[Chunk]) -> list[dict[str, Any]]:
    """The tokens of a reply."""
    return [
        token
        for chunk in chunks
        for token in (chunk["choices"][0]["logprobs"] or {"content": []})["content"]
    ]


def test_eight_at_once_are_as_each_alone(guide: EngineChat) -> None:
    asked = [messages(*each) for each in zip(QUESTIONS, SECRETS, strict=True)]
    alone = [list(guide.stream(each, GREEDY)) for each in asked]
    streams = [guide.stream(each, GREEDY) for each in asked]
    together = [list(stream) for stream in streams]
    for one, other in zip(alone, together, strict=True):
        assert content(one)
        for left, right in zip(content(one), content(other), strict=False):
            if left["token"] != right["token"]:
                best, second = (each["logprob"] for each in left["top_logprobs"])
                assert best - second < CLOSE
                break
        else:
            assert len(content(one)) == len(content(other))


def test_no_reply_has_anothers_secret(guide: EngineChat) -> None:
    asked = [messages("What is the secret word?", secret) for secret in SECRETS]
    streams = [guide.stream(each, {"temperature": 1.0, "max_tokens": 60}) for each in asked]
    for own, stream in zip(SECRETS, streams, strict=True):
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in stream)
        assert not [secret for secret in SECRETS if secret != own and secret in text.lower()]
