"""Chat templates, written for the test, that treat the system prompt differently."""

from __future__ import annotations

import pytest
from chat_backend import ChatMessage
from llama_prompt import PromptTemplate

MESSAGES = [
    ChatMessage(role="system", content="Be brief."),
    ChatMessage(role="user", content="Why?"),
]
KNOWS_SYSTEM = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + KNOWS_SYSTEM
)
FORGETS_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
    "<user>{{ m.content }}{% endif %}{% endfor %}<assistant>"
)


def render(template: str | None, add_bos: bool = False) -> str:
    return PromptTemplate(template, "<s>", "</s>", add_bos).render(MESSAGES)


def test_a_template_with_a_system_role() -> None:
    assert render(KNOWS_SYSTEM) == "<system>Be brief.<user>Why?<assistant>"


def test_a_template_that_refuses_the_system_role() -> None:
    assert render(REFUSES_SYSTEM) == "<user>Be brief.\n\nWhy?<assistant>"


def test_a_template_that_leaves_the_system_prompt_out() -> None:
    assert render(FORGETS_SYSTEM) == "<s><user>Be brief.\n\nWhy?<assistant>"


def test_the_start_token_comes_once() -> None:
    assert render(KNOWS_SYSTEM, add_bos=True).startswith("<s><system>")
    assert render(FORGETS_SYSTEM, add_bos=True).count("<s>") == 1


def test_no_template_means_chatml(caplog: pytest.LogCaptureFixture) -> None:
    assert render(None).endswith("<|im_start|>assistant\n")
    assert "no chat template" in caplog.text


def test_a_template_that_refuses_everything_raises() -> None:
    with pytest.raises(ValueError, match="never"):
        render("{{ raise_exception('never') }}")
