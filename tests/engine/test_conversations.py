"""Conversations on real models: replies that go on from words of the assistant's, and templates by
their names in the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from llama_engine.chat.chat_backend import ChatMessage
from llama_engine.chat.chat_loader import chat_over
from llama_engine.chat.engine_chat import EngineChat
from llama_engine.loading.engine_loading import load_engine
from llama_engine.options import EngineOptions
from odd_models import write_uneven

OPTIONS = EngineOptions(sequences=2, context_tokens=1024, threads=1)
ASKED = [ChatMessage(role="user", content="What can you do?")]


def chat_on(path: Path) -> EngineChat:
    loaded = load_engine(path, OPTIONS)
    loaded.engine.start()
    return chat_over(loaded)


def said(chat: EngineChat, messages: Sequence[ChatMessage], **options: Any) -> str:
    greedy = {"temperature": 0, "max_tokens": 80, **options}
    return str(chat.complete(messages, greedy)["choices"][0]["message"]["content"])


@pytest.fixture(scope="module")
def guide(guide_model: Path) -> Iterator[EngineChat]:
    chat = chat_on(guide_model)
    yield chat
    chat.close()


def test_a_reply_goes_on_from_the_assistant_s_words(guide: EngineChat) -> None:
    whole = said(guide, ASKED)
    words = [at for at, letter in enumerate(whole) if letter == " "]
    for at in words[1 :: max(1, len(words) // 4)]:
        begun = ChatMessage(role="assistant", content=whole[:at])
        assert (whole[:at] + said(guide, [*ASKED, begun])).startswith(whole)


def test_earlier_turns_are_part_of_the_prompt(guide: EngineChat) -> None:
    turns = [*ASKED, ChatMessage(role="assistant", content=said(guide, ASKED))]
    asked = ChatMessage(role="user", content="How do I stop a reply?")
    alone, after = (
        guide.complete(messages, {"max_tokens": 1})["usage"]["prompt_tokens"]
        for messages in ([asked], [*turns, asked])
    )
    assert after > alone


def test_templates_have_their_names_in_the_file(tmp_path: Path) -> None:
    templates = {
        "default": "{{ messages[0].content }} w1",
        "tool_use": "{{ messages[0].content }} {{ tools[0].function.name }} w1 w2",
        "rag": "{{ messages[0].content }} w1 w2 w3 w4 w5 w6",
    }
    chat = chat_on(write_uneven(tmp_path / "named.gguf", templates))
    try:
        model = chat.engine.model
        assert model.chat_templates() == templates
        lengths = [
            chat.complete(ASKED, {"max_tokens": 1, **options})["usage"]["prompt_tokens"]
            for options in ({}, {"chat_template": "default"}, {"chat_template": "rag"})
        ]
        assert lengths[0] == lengths[1] < lengths[2]
    finally:
        chat.close()
