"""One request on its way through the engine.

Invariant: `tokens` is the prompt and all that was sampled; the slot's `length` says how many of
them are in the KV cache. What lies between is still to be evaluated, so a sequence that lost its
cells goes on by evaluating again, and nothing else about it changes.
"""

from __future__ import annotations

import itertools
import time
from array import array
from concurrent.futures import Future

from llama_engine.llama.sampler import Sampler
from llama_engine.memory.kv_cache import Slot
from llama_engine.memory.snapshots import Snapshot
from llama_engine.schedule.generation import Finished, Generation, Reason, Request
from llama_engine.text.logprobs import TokenLogprob
from llama_engine.text.text_stream import TextStream

_numbers = itertools.count()


class Sequence:
    """State of one request. Owned by the engine's thread once submitted."""

    def __init__(self, request: Request, sampler: Sampler, generation: Generation) -> None:
        self.number = next(_numbers)
        """Order of arrival."""
        self.request = request
        self.sampler = sampler
        self.generation = generation
        self.tokens = array("i", request.tokens)
        self.prompt_tokens = len(self.tokens)
        self.text = TextStream(request.stop)
        self.slot: Slot | None = None
        self.pause_at = 0
        """Where to stop for a moment, so that a waiting one can take the prefix; 0: nowhere."""
        self.cached_tokens = 0
        """Prompt tokens that did not have to be evaluated."""
        self.begun_tokens = 0
        """Cells that were there when it got its slot."""
        self.shared_tokens = 0
        """Cells that another sequence holds too."""
        self.barred_until = 0
        """How many sequences must have finished before it is admitted again after stepping back."""
        self.kept: tuple[int, Snapshot | None, int] | None = None
        """The best snapshot there was, in which version of the store, and its usable length."""
        self.fetch: Future[None] | None = None
        """A longer beginning on its way from the disk."""
        self.logprobs: list[TokenLogprob] = []
        self.arrived_s = time.monotonic()
        self.started_s = 0.0
        self.first_token_s = 0.0

    @property
    def todo(self) -> int:
        """Tokens to evaluate before the next one can be sampled; 1 while it generates."""
        return len(self.tokens) - (self.slot.length if self.slot else 0)

    @property
    def evaluated_tokens(self) -> int:
        """Tokens evaluated since it got its slot."""
        return self.slot.length - self.begun_tokens if self.slot else 0

    @property
    def completion_tokens(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    @property
    def is_generating(self) -> bool:
        """Whether one more row gives one more token."""
        return self.slot is not None and self.slot.is_generating

    @property
    def keeps_last_apart(self) -> bool:
        """Whether the prompt's last token is evaluated by itself.

        A batch of another size rounds differently. With a seed, the first run and the second, which
        finds the prompt in the cache, must get the same logits.
        """
        return self.request.sampling.seed is not None

    def finished(self, reason: Reason, error: str | None = None) -> Finished:
        """The last event. Times that were not reached are 0."""
        now = time.monotonic()
        started = self.started_s or now
        first = self.first_token_s or now
        return Finished(
            reason,
            self.prompt_tokens,
            self.generation.completion_tokens,
            self.cached_tokens,
            queued_ms=(started - self.arrived_s) * 1e3,
            prompt_ms=(first - started) * 1e3,
            generation_ms=(now - first) * 1e3,
            error=error,
        )
