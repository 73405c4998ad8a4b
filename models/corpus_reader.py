"""Read the corpus and draw conversations from it.

The files under `corpus/` are meant to be read and written by people:

- `words.md`: named lists, `name: one | two | three`, used elsewhere as `{name}`.
- `conversations.md`: sections of `user:` and `guide:` turns; `guide: @name` gives the answer of
  the section of that name.
- every other file: sections (`## name`, or `## name (x3)` to draw it three times as often) with
  questions as list items, an empty line, and the answer in Markdown. A further answer to the same
  questions may follow after a line `***`.

Questions are patterns: `[a|b|]` stands for one of its parts, `{name}` for one word of a list.
Invariant: the same corpus and the same random state give the same conversations.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

_HOLE = re.compile(r"\[([^\[\]{}]*)\]|\{(\w+)\}")
_HEADING = re.compile(r"^## +(\S+)(?: +\(x(\d+)\))? *$", re.MULTILINE)
_TURN = re.compile(r"^(user|guide): ", re.MULTILINE)
_OPENERS = ("hi, ", "hello, ", "please, ", "hey, ", "ok, ", "so ", "and ", "question: ", "um, ")
_CLOSERS = (" please", " thanks", " in short", " pls", " exactly", " then", " here", " now")


@dataclass(frozen=True)
class Message:
    """One turn: role `user` or `assistant`; `intent` names the section of an answer."""

    role: str
    content: str
    intent: str = ""


@dataclass(frozen=True)
class Intent:
    """One thing that people ask: the patterns of the question, and the answers to it."""

    name: str
    weight: int
    questions: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """Everything the guide learns from."""

    intents: tuple[Intent, ...]
    dialogues: tuple[tuple[Message, ...], ...]
    words: dict[str, tuple[str, ...]]

    def expand(self, pattern: str, rng: random.Random) -> str:
        """The pattern with every hole filled. Raises KeyError for an unknown `{name}`."""

        def fill(hole: re.Match[str]) -> str:
            parts: Sequence[str] = self.words[hole[2]] if hole[2] else hole[1].split("|")
            return rng.choice(parts)

        while _HOLE.search(pattern):
            pattern = _HOLE.sub(fill, pattern)
        return " ".join(pattern.split())

    def draw(self, rng: random.Random) -> list[Message]:
        """A conversation as the guide sees it: one exchange, or sometimes two."""
        shape = rng.random()
        if shape < 0.08 and self.dialogues:
            return self._dialogue(rng)
        if shape < 0.12:
            return self._exchange(rng) + self._exchange(rng)
        return self._exchange(rng)

    def _exchange(self, rng: random.Random) -> list[Message]:
        weights = [intent.weight for intent in self.intents]
        intent = rng.choices(self.intents, weights)[0]
        question = rough(self.expand(rng.choice(intent.questions), rng), rng)
        answer = Message("assistant", rng.choice(intent.answers), intent.name)
        return [Message("user", question), answer]

    def _dialogue(self, rng: random.Random) -> list[Message]:
        """Two exchanges, one after the other, of a written dialogue."""
        turns = rng.choice(self.dialogues)
        start = 2 * rng.randrange(len(turns) // 2 - 1)
        return [
            replace(turn, content=rough(self.expand(turn.content, rng), rng))
            if turn.role == "user"
            else turn
            for turn in turns[start : start + 4]
        ]


def read_corpus(folder: Path) -> Corpus:
    """Read all files of the corpus. Raises ValueError naming the section that is malformed."""
    words = _read_words(folder / "words.md")
    special = {"words.md", "conversations.md"}
    files = sorted(path for path in folder.glob("*.md") if path.name not in special)
    intents = [intent for path in files for intent in _read_intents(path)]
    answers = {intent.name: intent.answers[0] for intent in intents}
    dialogues = _read_dialogues(folder / "conversations.md", answers)
    return Corpus(tuple(intents), tuple(dialogues), words)


def as_seen(question: str) -> str:
    """The question as the chat template hands it on: lower case, no question marks."""
    for old, new in (("?", ""), ("!", ""), ("\u2019", "'")):
        question = question.lower().replace(old, new)
    return question.strip()


def rough(question: str, rng: random.Random) -> str:
    """The question as people type it, as the guide sees it: words around it, one less, a typo."""
    question = as_seen(question)
    if rng.random() < 0.12:
        question = rng.choice(_OPENERS) + question
    if rng.random() < 0.08:
        question += rng.choice(_CLOSERS)
    if rng.random() < 0.12:
        question = _without_a_word(question, rng)
    if rng.random() < 0.12:
        question = _with_typo(question, rng)
    if rng.random() < 0.05:
        question = question.rstrip(".") + "."
    return question


def _without_a_word(text: str, rng: random.Random) -> str:
    """Leave out one short word of a longer question."""
    words = text.split()
    short = [at for at, word in enumerate(words) if len(word) < 5 and word.isalpha()]
    if len(words) > 3 and short:
        del words[rng.choice(short)]
    return " ".join(words)


def _with_typo(text: str, rng: random.Random) -> str:
    """Swap, drop or double one letter inside a word."""
    at = rng.randrange(1, max(2, len(text) - 1))
    if not text[at - 1 : at + 2].isalpha():
        return text
    kind = rng.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :]
    return text[:at] + (text[at] * 2 if kind == 1 else "") + text[at + 1 :]


def _items(text: str) -> list[str]:
    return [line[2:].strip() for line in text.splitlines() if line.startswith("- ")]


def _read_words(path: Path) -> dict[str, tuple[str, ...]]:
    words = {}
    for line in path.read_text("utf-8").splitlines():
        name, colon, parts = line.partition(": ")
        if colon and name.isidentifier():
            words[name] = tuple(part.strip() for part in parts.split(" | "))
    return words


def _sections(path: Path) -> list[tuple[str, int, str]]:
    pieces = _HEADING.split(path.read_text("utf-8"))[1:]
    triples = zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    return [(name, int(weight or 1), body.strip()) for name, weight, body in triples]


def _read_intents(path: Path) -> list[Intent]:
    intents = []
    for name, weight, body in _sections(path):
        head, _, rest = body.partition("\n\n")
        questions = tuple(_items(head))
        answers = tuple(part.strip() for part in rest.split("\n***\n") if part.strip())
        if not questions or not answers:
            raise ValueError(f"{path.name}, {name}: expected questions, an empty line, an answer")
        intents.append(Intent(name, weight, questions, answers))
    return intents


def _read_dialogues(path: Path, answers: dict[str, str]) -> list[tuple[Message, ...]]:
    dialogues = []
    for name, weight, body in _sections(path):
        pieces = _TURN.split(body)[1:]
        turns = [
            Message("user", text.strip()) if who == "user" else _reply(text.strip(), answers)
            for who, text in zip(pieces[::2], pieces[1::2], strict=True)
        ]
        if len(turns) < 4 or turns[-1].role != "assistant":
            raise ValueError(f"{path.name}, {name}: expected two turns or more of each")
        dialogues += [tuple(turns)] * weight
    return dialogues


def _reply(text: str, answers: dict[str, str]) -> Message:
    """The guide's turn, written out or named. Raises KeyError for an unknown name."""
    if text.startswith("@"):
        return Message("assistant", answers[text[1:]], text[1:])
    return Message("assistant", text)
