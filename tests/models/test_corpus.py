"""The corpus: it reads, every pattern can be filled, and its readers say what is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from models.corpus import Corpus, as_seen, read_corpus, rough

FOLDER = Path(__file__).resolve().parents[2] / "models" / "corpus"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return read_corpus(FOLDER)


def test_it_is_rich(corpus: Corpus) -> None:
    assert len(corpus.intents) >= 150
    assert sum(len(intent.questions) for intent in corpus.intents) >= 1_400
    assert len({intent.name for intent in corpus.intents}) == len(corpus.intents)


def test_every_pattern_can_be_filled(corpus: Corpus) -> None:
    rng = random.Random(1)
    for intent in corpus.intents:
        for pattern in intent.questions:
            filled = corpus.expand(pattern, rng)
            assert filled and not set("[]{}|") & set(filled), (intent.name, filled)


def test_every_dialogue_ends_with_the_guide(corpus: Corpus) -> None:
    for turns in corpus.dialogues:
        assert turns[-1].role == "assistant"
        assert not any(turn.content.startswith("@") for turn in turns)


def test_the_same_random_state_draws_the_same_conversations(corpus: Corpus) -> None:
    first, second = random.Random(7), random.Random(7)
    assert [corpus.draw(first) for _ in range(20)] == [corpus.draw(second) for _ in range(20)]


def test_rough_questions_stay_recognisable() -> None:
    rng = random.Random(3)
    for _ in range(200):
        question = rough("How do I cancel a running reply?", rng)
        assert abs(len(question) - 31) <= 15
        assert question == as_seen(question)


@pytest.mark.parametrize("body", ["", "- a question\n", "an answer without questions\n"])
def test_a_malformed_section_is_named(tmp_path: Path, body: str) -> None:
    for name in ("words.md", "conversations.md"):
        (tmp_path / name).write_text("", "utf-8")
    (tmp_path / "topic.md").write_text(f"# Topic\n\n## broken\n{body}", "utf-8")
    with pytest.raises(ValueError, match=r"topic\.md, broken"):
        read_corpus(tmp_path)
