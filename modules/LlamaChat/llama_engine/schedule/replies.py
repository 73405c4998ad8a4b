"""A sampled token becomes text, or the end.

Invariant: text comes out in order and once; nothing after a stop string, an end token, `max_tokens`
or the context's end.
"""

from __future__ import annotations

from llama_engine.llama.model import Model
from llama_engine.schedule.generation import Reason, TextDelta
from llama_engine.schedule.sequence import Sequence
from llama_engine.text.logprobs import TokenLogprob


def extend_reply(
    model: Model, sequence: Sequence, token: int, logprob: TokenLogprob | None, most_tokens: int
) -> Reason | None:
    """Take a token; returns why the reply ends with it, or None where it goes on."""
    if model.is_end(token):
        text = sequence.text.flush()
        if text or sequence.logprobs:
            _emit(sequence, text)
        return "stop"
    sequence.tokens.append(token)
    sequence.generation.completion_tokens += 1
    if logprob is not None:
        sequence.logprobs.append(logprob)
    text = sequence.text.push(model.piece(token))
    reason = _reason_to_end(sequence, most_tokens)
    if reason == "length":
        text += sequence.text.flush()
    if text or (reason == "length" and sequence.logprobs):
        _emit(sequence, text)
    return reason


def _reason_to_end(sequence: Sequence, most_tokens: int) -> Reason | None:
    if sequence.text.is_stopped:
        return "stop"
    wanted = sequence.request.max_tokens
    if wanted and sequence.completion_tokens >= wanted:
        return "length"
    # The last position can be evaluated, and its token sampled; that one has no place any more.
    return "length" if len(sequence.tokens) > most_tokens else None


def _emit(sequence: Sequence, text: str) -> None:
    """Hand out text, with the log probabilities of the tokens that made it."""
    sequence.generation.put(TextDelta(text, tuple(sequence.logprobs)))
    sequence.logprobs.clear()
