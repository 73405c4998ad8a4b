"""A JSON schema, kept by llguidance over the model's own vocabulary.

Invariant: what llguidance matches is what will be shown, byte for byte: a token without text is
never part of a reply, and only the model's end tokens end one.

Source: https://github.com/guidance-ai/llguidance (Earley's parser over derivatives of regular
expressions; the tokens are a trie, so that a mask takes microseconds)
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from llama_engine.errors import GenerationError, GrammarError
from llama_engine.text.constraint import Logits
from llama_engine.text.vocabulary import Vocabulary

_WITHOUT_TEXT = b"\xff"
"""Before the name of a token that has no text: llguidance never takes it for text."""


class SchemaVocabulary:
    """A model's tokens as llguidance has them, made when wanted: half a second for 152,000."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._making = threading.Lock()
        self._tokenizer: Any = None

    def tokenizer(self) -> Any:
        """For any number of constraints; it needs the model's memory no more."""
        with self._making:
            if self._tokenizer is None:
                self._tokenizer = _tokenizer(self._vocabulary)
        return self._tokenizer


class SchemaConstraint:
    """See Constraint. `grammar` is what `schema_grammar` let pass. Raises GrammarError."""

    def __init__(self, tokenizer: Any, grammar: str, vocab_tokens: int) -> None:
        from llguidance import LLMatcher

        from llama_engine.text.schema_trial import limits

        self._matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=limits())
        self._vocab_tokens = vocab_tokens
        if self._matcher.is_error():
            raise GrammarError(f"JSON schema: {self._matcher.get_error():.500}")

    def allows(self, token: int) -> bool:
        """Microseconds."""
        return bool(self._matcher.validate_tokens([token]))

    def restrict(self, logits: Logits) -> Logits:
        """Some ten microseconds, and what it takes to copy the logits."""
        mask = self._matcher.compute_bitmask()
        self._check()
        bits = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")
        allowed = bits[: self._vocab_tokens].astype(bool)
        return np.where(allowed, logits, np.float32(-np.inf))

    def accept(self, token: int) -> None:
        """Go on."""
        self._matcher.consume_token(token)
        self._check()

    def free(self) -> None:
        """Nothing: it is freed with the object."""

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GenerationError(
                "response_format: the schema is too much work at this place of the reply; "
                f"simplify its patterns ({self._matcher.get_error():.200})"
            )


class _Tokens:
    """What llguidance asks of a tokenizer. Forced text is split into the longest tokens that fit:
    the model's own way may put a space before it."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokens: Sequence[bytes], ends: Sequence[int]) -> None:
        self.tokens = tokens
        self.special_token_ids = [*ends]
        self.eos_token_id = ends[0] if ends else None
        self.made: Any = None
        """llguidance's own tokenizer over these."""

    def __call__(self, text: str) -> list[int]:
        return list(self.made.greedy_tokenize(text)) if self.made is not None else []


def _tokenizer(vocabulary: Vocabulary) -> Any:
    from llguidance import LLTokenizer

    every = range(vocabulary.vocab_tokens)
    ends = [token for token in every if vocabulary.is_end(token)]
    tokens: Any = _Tokens(
        [vocabulary.piece(token) or _WITHOUT_TEXT + str(token).encode() for token in every], ends
    )
    tokens.made = LLTokenizer(tokens, eos_token=ends or None)
    return tokens.made
