"""What the engine's thread does, step after step.

Invariant: called by that thread alone, but for the figures. Each step packs one token of every
generating sequence and some tokens of the prompts into batches. Whatever goes wrong with one
sequence ends that one, with the reason, and every sequence that was added ends with exactly one
`Finished`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from llama_engine.errors import GenerationError
from llama_engine.llama.candidates import Candidates
from llama_engine.llama.context import Context
from llama_engine.memory.disk_cache import DiskCache
from llama_engine.memory.kv_cache import KvCache
from llama_engine.memory.snapshots import SnapshotStore
from llama_engine.options import EngineOptions
from llama_engine.schedule.admission import Admission
from llama_engine.schedule.budget import StepBudget
from llama_engine.schedule.counts import EngineCounts
from llama_engine.schedule.generation import Generation, PromptProgress, Reason
from llama_engine.schedule.replies import extend_reply
from llama_engine.schedule.sequence import Sequence
from llama_engine.schedule.step_plan import Chunk, plan_step
from llama_engine.schedule.stepper import Stepper
from llama_engine.schedule.thread_choice import ThreadChoice
from llama_engine.text.logprobs import token_logprob

logger = logging.getLogger(__name__)

_WARM_UP_TOKENS = 16


class EngineLoop:
    """Takes sequences to their ends. `wake` is called when something was fetched from the disk,
    so that `step` is called again; `threads` is how many the context has where less may be used, 0
    where that is fixed."""

    def __init__(
        self,
        context: Context,
        options: EngineOptions,
        context_tokens: int,
        disk: DiskCache | None,
        threads: int,
        wake: Callable[[], None],
    ) -> None:
        self.counts = EngineCounts()
        self.snapshots = SnapshotStore(options.memory_cache_bytes)
        self._model = context.model
        self._context = context
        self._context_tokens = context_tokens
        self._budget = StepBudget(options)
        self._cache = KvCache(context, can_cut=not context.model.is_recurrent)
        pool = context.total_tokens if context.is_shared else None
        self._admission = Admission(self._cache, self.snapshots, self.counts, pool, disk, wake)
        self._stepper = Stepper(context, self._cache, self.counts, self._sample, self._fail)
        self._candidates = Candidates(context.model.vocab_tokens)
        self._threads = ThreadChoice(threads) if threads else None
        self._ended: list[Generation] = []
        """Whose last events are not handed out yet."""

    @property
    def running(self) -> int:
        """Sequences in slots; a snapshot for people."""
        return len(self._admission.running)

    @property
    def waiting(self) -> int:
        return len(self._admission.waiting)

    def add(self, sequence: Sequence) -> None:
        """Take a sequence; it is admitted in a step to come."""
        self._admission.add(sequence)

    def end_all(self, reason: str) -> None:
        """End what is left: what its reader had cancelled as that, all else as an error."""
        self._drop_cancelled()
        for sequence in (*self._admission.running, *self._admission.waiting):
            self._fail(sequence, reason)
        self._deliver()

    def warm_up(self) -> None:
        """Bring the weights into memory, and learn what a prompt token takes."""
        for _ in range(2):
            took_ms = self._stepper.warm_up(_WARM_UP_TOKENS)
            if took_ms:
                self._budget.learn(0, _WARM_UP_TOKENS, took_ms)

    def step(self) -> bool:
        """One step; False where there was nothing to do. A fault ends what is there, no more."""
        try:
            return self._step()
        except Exception:
            # A fault of the engine itself: no state can be trusted but that of requests to come.
            logger.exception("A step failed")
            for sequence in (*self._admission.running, *self._admission.waiting):
                self._fail(sequence, "The engine failed; its log says how")
        return True

    def _step(self) -> bool:
        """One step; False where there was nothing to evaluate."""
        self._drop_cancelled()
        for sequence in self._admission.admit():
            self._report_prompt(sequence)
        self._admission.close_holes()
        batches = plan_step(self._admission.running, self._budget, self._context.is_shared)
        for chunks in batches:
            self._deliver()
            if not self._evaluate(chunks):
                break
        if not batches:
            self._deliver()
        return bool(batches)

    def _evaluate(self, chunks: list[Chunk]) -> bool:
        """Evaluate a batch; False where it has to be planned again."""
        chunks = [chunk for chunk in chunks if not chunk.sequence.generation.is_cancelled]
        if not chunks:
            return True
        generating = sum(chunk.count == 1 and chunk.has_output for chunk in chunks)
        tokens = sum(chunk.count for chunk in chunks)
        started = time.perf_counter()
        if self._stepper.evaluate(chunks):
            took_ms = (time.perf_counter() - started) * 1e3
            self._learn(generating, tokens - generating, took_ms)
            return True
        if not self._admission.make_room():
            self._fail(chunks[0].sequence, "No room in the KV cache for a single sequence")
        return False

    def _deliver(self) -> None:
        """Hand out what the last step brought, all at once and just before the next decode.

        Whoever is woken then runs while llama.cpp does, and not in the middle of the sampling,
        where each of them would take the interpreter's lock between two calls of this thread.
        """
        for sequence in self._admission.running:
            sequence.generation.deliver()
        for generation in self._ended:
            generation.deliver()
        self._ended.clear()

    def _learn(self, generating: int, prompt_tokens: int, took_ms: float) -> None:
        self._budget.learn(generating, prompt_tokens, took_ms)
        if prompt_tokens or self._threads is None:
            return
        if any(sequence.keeps_last_apart for sequence in self._admission.running):
            return  # other threads round differently, and a seed promises the same text
        before = self._threads.threads
        self._threads.learn(generating, took_ms)
        if self._threads.threads != before:
            self._context.set_threads(self._threads.threads, self._threads.threads)

    def _drop_cancelled(self) -> None:
        for sequence in (*self._admission.running, *self._admission.waiting):
            if sequence.generation.is_cancelled:
                self._finish(sequence, "cancelled")

    def _sample(self, chunks: list[Chunk]) -> None:
        """Sample where logits are there; report progress where they are not."""
        for chunk in chunks:
            sequence = chunk.sequence
            if chunk.row < 0 or not sequence.first_token_s:
                self._report_prompt(sequence)
            if chunk.row >= 0:
                self._sample_one(sequence, chunk.row)

    def _sample_one(self, sequence: Sequence, row: int) -> None:
        if not sequence.first_token_s:
            sequence.first_token_s = time.monotonic()
        try:
            token = sequence.sampler.sample(self._context, row, self._candidates)
        except GenerationError as ex:
            self._fail(sequence, str(ex))
            return
        self.counts.sampled_tokens += 1
        logprob, wanted = None, sequence.request.top_logprobs
        if wanted is not None:
            logprob = token_logprob(self._model, self._context.logits(row), token, wanted)
        reason = extend_reply(self._model, sequence, token, logprob, self._context_tokens)
        if reason is not None:
            self._finish(sequence, reason)

    def _report_prompt(self, sequence: Sequence) -> None:
        slot = sequence.slot
        if slot is not None and not sequence.completion_tokens:
            done = min(slot.length, sequence.prompt_tokens)
            event = PromptProgress(done, sequence.prompt_tokens, sequence.cached_tokens)
            sequence.generation.put(event)

    def _fail(self, sequence: Sequence, reason: str) -> None:
        logger.warning("Sequence %d failed: %s", sequence.number, reason)
        if sequence.slot is not None:
            self._cache.clear(sequence.slot)
        self._finish(sequence, "error", reason)

    def _finish(self, sequence: Sequence, reason: Reason, error: str | None = None) -> None:
        self._admission.leave(sequence)
        sequence.sampler.free()
        self.counts.finished += 1
        sequence.generation.put(sequence.finished(reason, error))
        self._ended.append(sequence.generation)
