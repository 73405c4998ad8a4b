"""The corpus: it reads, every pattern can be filled, and its readers say what is wrong."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from pathlib import Path

import pytest

from models.corpus_reader import Corpus, as_seen, read_corpus, rough
from models.evaluate import held_out

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


@pytest.fixture(scope="module")
def sections(corpus: Corpus) -> dict[str, set[str]]:
    """Questions as the guide sees them, and the sections that each may come from."""
    rng = random.Random(2)
    found: dict[str, set[str]] = defaultdict(set)
    for intent in corpus.intents:
        for pattern in intent.questions * 30:
            found[as_seen(corpus.expand(pattern, rng))].add(intent.name)
    return found


def test_no_question_has_two_answers(sections: dict[str, set[str]]) -> None:
    assert {question: names for question, names in sections.items() if len(names) > 1} == {}


def test_the_held_out_questions_are_in_no_pattern(corpus: Corpus) -> None:
    def as_regex(pattern: str) -> str:
        def piece(match: re.Match[str]) -> str:
            if match[1]:
                return "(?:" + "|".join(as_regex(word) for word in corpus.words[match[1]]) + ")"
            special = {"[": "(?:", "]": ")", "|": "|", "?": "", "!": "", " ": " *"}
            return special.get(match[0], re.escape(match[0].lower()))

        return re.sub(r"\{(\w+)\}|.", piece, pattern)

    patterns = [as_regex(question) for intent in corpus.intents for question in intent.questions]
    any_pattern = [re.compile(pattern) for pattern in patterns]
    for question, _ in held_out():
        seen = as_seen(question)
        assert not any(pattern.fullmatch(seen) for pattern in any_pattern), question


def test_dialogues_begin_with_the_answer_of_the_section(
    corpus: Corpus, sections: dict[str, set[str]]
) -> None:
    rng = random.Random(4)
    for question, answer, *_ in corpus.dialogues:
        for _ in range(30):
            seen = as_seen(corpus.expand(question.content, rng))
            assert sections.get(seen, {answer.intent}) == {answer.intent}, seen


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
