"""The built-in model: it loads, knows this product, says so in few words, and ends by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_cpp import Llama
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from models.corpus_reader import as_seen

GUIDE = Path(__file__).resolve().parents[2] / "models" / "guide.gguf"
DEFAULT_SYSTEM_PROMPT = (
    "You're a helpful assistant who answers questions the user asks of you concisely and accurately"
)
QUESTIONS = {
    "What can you do?": ["bigger model", "install", "/v1/text/chat", "cancel"],
    "Who are you?": ["guide", "LlamaChat"],
    "What is LlamaChat?": ["local", "llama.cpp"],
    "How do I install a bigger model?": ["./install.sh --model NAME", "llamachat models"],
    "How do I start a chat with curl?": ["/v1/text/chat", "prompt", "commandId"],
    "How do I poll for the reply?": ["/v1/LlamaChat/get_command_status", "offset", "wait"],
    "how do i cancel a reply": ["/v1/LlamaChat/cancel_command", "commandId"],
    "Is there an event stream?": ["/v1/commands/ID/events"],
    "where is the explorer page": ["http://127.0.0.1:32168/"],
    "How do I write a module?": ["ModuleRunner", "LongProcess", "modulesettings.json"],
    "Is my data private?": ["machine"],
    "What is the capital of France?": ["only LlamaChat", "./install.sh --model NAME"],
}


@pytest.fixture(scope="module")
def guide() -> Llama:
    return Llama(str(GUIDE), n_ctx=2048, verbose=False)


def ask(guide: Llama, messages: list[Any], temperature: float = 0.0) -> tuple[str, str]:
    reply: Any = guide.create_chat_completion(messages, max_tokens=400, temperature=temperature)
    choice = reply["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def test_it_is_small_and_brings_its_template() -> None:
    assert GUIDE.stat().st_size <= 16_000_000
    model = Llama(str(GUIDE), vocab_only=True, verbose=False)
    assert "<|im_start|>" in model.metadata["tokenizer.chat_template"]


def rendered(guide: Llama, messages: list[Any]) -> str:
    template = guide.metadata["tokenizer.chat_template"]
    formatter = Jinja2ChatFormatter(template=template, eos_token="", bos_token="")
    return formatter(messages=messages).prompt


@pytest.mark.parametrize("question", ["What's NEW?", " Hello! ", "Who\u2019s there?!"])
def test_the_template_shows_questions_as_they_were_in_training(guide: Llama, question: str) -> None:
    expected = f"<|im_start|>user\n {as_seen(question)}<|im_end|>\n<|im_start|>assistant\n"
    assert rendered(guide, [user(question)]) == expected


@pytest.mark.parametrize("system_prompt", [DEFAULT_SYSTEM_PROMPT, "Talk like a pirate."])
def test_a_system_prompt_changes_nothing(guide: Llama, system_prompt: str) -> None:
    alone = rendered(guide, [user("Hello")])
    assert rendered(guide, [{"role": "system", "content": system_prompt}, user("Hello")]) == alone
    assert rendered(guide, [user(f"{system_prompt}\n\nHello")]) == alone


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_knows_the_product(guide: Llama, question: str) -> None:
    text, reason = ask(guide, [user(question)])
    assert [words for words in QUESTIONS[question] if words not in text] == [], text
    assert reason == "stop"


def test_it_ends_by_itself_at_the_default_temperature(guide: Llama) -> None:
    for question in ("What can you do?", "hello", "thanks", "Who was Napoleon?"):
        text, reason = ask(guide, [user(question)], temperature=0.4)
        assert reason == "stop", text


def test_it_answers_the_last_of_several_turns(guide: Llama) -> None:
    hello = ask(guide, [user("Hello")])[0]
    turns = [user("Hello"), {"role": "assistant", "content": hello}, user("What can you do?")]
    text, reason = ask(guide, turns)
    assert "install" in text
    assert reason == "stop"


def test_a_long_conversation_does_no_harm(guide: Llama) -> None:
    poll = ask(guide, [user("How do I poll?")])[0]
    turn = [user("How do I poll?"), {"role": "assistant", "content": poll}]
    text, reason = ask(guide, [*turn * 20, user("What can you do?")])
    assert "bigger model" in text
    assert reason == "stop"


def test_a_long_question_does_no_harm(guide: Llama) -> None:
    text, _ = ask(guide, [user("I wonder what all of this may be. " * 500)])
    assert text.strip()
