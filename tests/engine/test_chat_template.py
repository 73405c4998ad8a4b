"""Chat templates, written for the test, that treat the system prompt differently."""

from __future__ import annotations

import pytest
from llama_engine.chat.chat_backend import ChatMessage
from llama_engine.chat.chat_template import ChatTemplate

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


ONE_AT_THE_HEAD = (
    "{% for m in messages %}{% if m.role == 'system' and not loop.first %}"
    "{{ raise_exception('system must come first') }}{% endif %}{% endfor %}" + KNOWS_SYSTEM
)
TRIMS = KNOWS_SYSTEM.replace("m.content", "m.content | trim")
LATER = [*MESSAGES, ChatMessage(role="system", content="In French. \n"), MESSAGES[1]]


def of(template: str | None) -> dict[str, str]:
    return {} if template is None else {"default": template}


def render(template: str | None, add_bos: bool = False) -> str:
    return ChatTemplate(of(template), "<s>", "</s>", add_bos).render(MESSAGES)


def test_a_template_with_a_system_role() -> None:
    assert render(KNOWS_SYSTEM) == "<system>Be brief.<user>Why?<assistant>"


def test_a_template_that_refuses_the_system_role() -> None:
    assert render(REFUSES_SYSTEM) == "<user>Be brief.\n\nWhy?<assistant>"


def test_a_template_that_leaves_the_system_prompt_out() -> None:
    assert render(FORGETS_SYSTEM) == "<s><user>Be brief.\n\nWhy?<assistant>"


def render_later(template: str) -> str:
    return ChatTemplate(of(template), "<s>", "</s>", False).render(LATER)


def test_system_messages_stay_where_the_template_keeps_them() -> None:
    assert render_later(TRIMS) == (
        "<system>Be brief.<user>Why?<system>In French.<user>Why?<assistant>"
    )


def test_a_later_system_message_goes_to_the_head_where_only_that_is_taken() -> None:
    assert render_later(ONE_AT_THE_HEAD) == (
        "<system>Be brief.\n\nIn French.<user>Why?<user>Why?<assistant>"
    )


def test_all_of_them_go_to_the_user_where_there_is_no_system_role() -> None:
    for template in (REFUSES_SYSTEM, FORGETS_SYSTEM):
        assert "<user>Be brief.\n\nIn French.\n\nWhy?<user>Why?" in (
            render_later(template).replace(" \n", "")
        )


def test_the_user_s_own_words_are_not_taken_for_the_system_s() -> None:
    said = [MESSAGES[0], ChatMessage(role="user", content="Be brief. Why?")]
    text = ChatTemplate(of(FORGETS_SYSTEM), "", "", False).render(said)
    assert text == "<user>Be brief.\n\nBe brief. Why?<assistant>"


def test_the_start_token_comes_once() -> None:
    assert render(KNOWS_SYSTEM, add_bos=True).startswith("<s><system>")
    assert render(FORGETS_SYSTEM, add_bos=True).count("<s>") == 1


def test_no_template_means_chatml(caplog: pytest.LogCaptureFixture) -> None:
    assert render(None).endswith("<|im_start|>assistant\n")
    assert "no chat template" in caplog.text


def test_a_template_that_refuses_everything_raises() -> None:
    with pytest.raises(ValueError, match="never"):
        render("{{ raise_exception('never') }}")
