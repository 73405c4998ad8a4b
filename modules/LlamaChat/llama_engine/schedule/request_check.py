"""Whether a request can be kept, before it is taken.

Invariant: what passes here ends neither the process nor anybody else's generation.
"""

from __future__ import annotations

from collections.abc import Sequence

from llama_engine.errors import ParameterError
from llama_engine.load_errors import PromptTooLongError
from llama_engine.options import within
from llama_engine.schedule.generation import Request
from llama_engine.text.grammar import check_grammar
from llama_engine.text.sampling import MOST_TOP_LOGPROBS

MOST_STOPS = 16
LONGEST_STOP = 1024
_MOST_TOKENS = 2**31 - 1


def check_request(request: Request, vocab_tokens: int, context_tokens: int) -> None:
    """Raise ParameterError, GrammarError or PromptTooLongError."""
    _check_prompt(request.tokens, vocab_tokens, context_tokens)
    request.sampling.check(vocab_tokens)
    within("max_tokens", request.max_tokens, 0, _MOST_TOKENS)
    if request.top_logprobs is not None:
        within("top_logprobs", request.top_logprobs, 0, MOST_TOP_LOGPROBS)
    within("stop, number of strings", len(request.stop), 0, MOST_STOPS)
    for stop in request.stop:
        within("stop, characters", len(stop), 1, LONGEST_STOP)
    if request.grammar is not None:
        check_grammar(request.grammar)


def _check_prompt(tokens: Sequence[int], vocab_tokens: int, context_tokens: int) -> None:
    if not tokens:
        raise ParameterError("prompt", "at least one token", "none")
    if len(tokens) > context_tokens:
        raise PromptTooLongError(len(tokens), context_tokens)
    if min(tokens) < 0 or max(tokens) >= vocab_tokens:
        raise ParameterError("prompt", f"tokens from 0 to {vocab_tokens - 1}", "others")
