"""A client's GBNF grammar, kept by llama.cpp's own grammar sampler.

Invariant: a token that the grammar refuses is never accepted (llama.cpp would end the process).
"""

from __future__ import annotations

import os

import llama_cpp

from llama_engine.errors import GrammarError
from llama_engine.llama.candidates import Candidates
from llama_engine.llama.model import Model
from llama_engine.llama.native_words import STDERR, heard
from llama_engine.text.constraint import Logits

_COMPLAINT = "parse: error parsing grammar: "  # what stands behind it quotes the grammar
_SHOWN_CHARS = 200


class GbnfConstraint:
    """See Constraint. Raises GrammarError for a grammar that does not parse."""

    def __init__(self, model: Model, text: str) -> None:
        handle, said = heard(
            lambda: llama_cpp.llama_sampler_init_grammar(model.vocab, text.encode("utf-8"), b"root")
        )
        others, _, why = said.partition(_COMPLAINT)
        if others:  # of another thread
            os.write(STDERR, others.encode())
        # A grammar that does not parse gives a null pointer, which is not None.
        if not handle:
            what = why.split("\n", 1)[0][:_SHOWN_CHARS] or "it has no root, or one without an end"
            raise GrammarError(f"grammar: llama.cpp cannot parse it: {what}")
        self._handle = handle
        self._one = Candidates(1)

    def allows(self, token: int) -> bool:
        """Look at the single token: the whole vocabulary takes tens of milliseconds."""
        llama_cpp.llama_sampler_apply(self._handle, self._one.fill_one(token))
        return not self._one.is_refused

    def restrict(self, logits: Logits) -> Logits:
        """Look at the whole vocabulary."""
        every = Candidates(len(logits))
        llama_cpp.llama_sampler_apply(self._handle, every.fill(logits))
        return every.logits

    def accept(self, token: int) -> None:
        """Go on."""
        llama_cpp.llama_sampler_accept(self._handle, token)

    def free(self) -> None:
        """Free llama.cpp's sampler."""
        llama_cpp.llama_sampler_free(self._handle)
