"""Many generations at once on one llama.cpp context.

Invariant: one thread, started here, is the only one that touches the context. Each of its steps
packs one token of every generating sequence and some tokens of the prompts into one batch. Whatever
goes wrong with one sequence ends that one, with the reason, and every generation that was submitted
ends with exactly one `Finished`.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from llama_engine.errors import EngineStoppedError, GenerationError
from llama_engine.llama.candidates import Candidates
from llama_engine.llama.context import Context
from llama_engine.llama.gbnf_constraint import GbnfConstraint
from llama_engine.llama.sampler import Sampler
from llama_engine.memory.disk_cache import DiskCache
from llama_engine.memory.kv_cache import KvCache
from llama_engine.memory.snapshots import SnapshotStore
from llama_engine.options import EngineOptions
from llama_engine.schedule.admission import Admission
from llama_engine.schedule.budget import StepBudget
from llama_engine.schedule.counts import EngineCounts
from llama_engine.schedule.generation import Generation, PromptProgress, Reason, Request
from llama_engine.schedule.replies import extend_reply
from llama_engine.schedule.request_check import check_request
from llama_engine.schedule.sequence import Sequence
from llama_engine.schedule.step_plan import Chunk, plan_step
from llama_engine.schedule.stepper import Stepper
from llama_engine.schedule.thread_choice import ThreadChoice
from llama_engine.text.constraint import Constraint
from llama_engine.text.logprobs import token_logprob
from llama_engine.text.schema_constraint import SchemaConstraint, SchemaVocabulary

logger = logging.getLogger(__name__)

_STOP_TIMEOUT_S = 30.0
_WARM_UP_TOKENS = 16

OnDeath = Callable[[], None]
"""May end the process: an engine whose thread is dead takes no requests any more."""


class Engine:
    """Generates for any number of requests, as many at a time as the context has sequences.

    `context_tokens` is the most that one sequence may hold, prompt and reply. `threads` is how many
    the context has where the engine may use less of them, 0 where that is fixed. The engine owns
    the context and the model from `start()` on and frees them at its end. `on_death` is called,
    on its thread, should that end although nobody stopped it, before anything else is told.
    """

    def __init__(
        self,
        context: Context,
        options: EngineOptions,
        context_tokens: int,
        disk: DiskCache | None = None,
        threads: int = 0,
        on_death: OnDeath | None = None,
    ) -> None:
        self.model = context.model
        self.context_tokens = min(context_tokens, context.sequence_tokens)
        self.counts = EngineCounts()
        self.snapshots = SnapshotStore(options.memory_cache_bytes)
        self._inbox: queue.SimpleQueue[tuple[Sequence, ...]] = queue.SimpleQueue()
        self._context = context
        self._budget = StepBudget(options)
        self._cache = KvCache(context, can_cut=not context.model.is_recurrent)
        pool = context.total_tokens if context.is_shared else None
        self._disk = disk
        self._admission = Admission(
            self._cache, self.snapshots, self.counts, pool, disk, self._wake
        )
        self._stepper = Stepper(context, self._cache, self.counts, self._sample, self._fail)
        self._vocabulary = SchemaVocabulary(context.model)
        self._candidates = Candidates(context.model.vocab_tokens)
        self._threads = ThreadChoice(threads) if threads else None
        self._on_death = on_death
        self._ended: list[Generation] = []
        """Whose last events are not handed out yet."""
        self._has_work = False
        self._is_stopping = False
        self._stopped_by = "The engine was stopped before the reply had ended"
        """What replies that it cuts are told."""
        self._in_use = threading.Lock()
        """Held by other threads while they use the model, and to stop the engine."""
        self._thread = threading.Thread(target=self._run, name="llama-engine", daemon=True)

    def start(self) -> None:
        """Start the engine's thread."""
        self._thread.start()

    def submit(self, request: Request) -> Generation:
        """Take a request; its events begin to come at once.

        Raises ParameterError, GrammarError, PromptTooLongError, or EngineStoppedError.
        """
        return self.submit_all([request])[0]

    def submit_all(self, requests: Iterable[Request]) -> list[Generation]:
        """Take requests that shall begin in the same step. Raises what `submit` raises, for all."""
        # Compiling a schema may take seconds, and needs nothing of the model.
        asked = [(request, self._schema_of(request)) for request in requests]
        with self._while_it_runs(), ExitStack() as undo:
            sequences = []
            for request, schema in asked:
                check_request(request, self.model.vocab_tokens, self.context_tokens)
                constraint = schema or self._grammar_of(request)
                sampler = Sampler(self.model, request.sampling, constraint)
                undo.callback(sampler.free)
                generation = Generation(len(request.tokens), self._wake)
                sequences.append(Sequence(request, sampler, generation))
            self._inbox.put(tuple(sequences))
            undo.pop_all()
        return [sequence.generation for sequence in sequences]

    def _schema_of(self, request: Request) -> Constraint | None:
        if request.schema is None:
            return None
        with self._while_it_runs():
            tokenizer = self._vocabulary.tokenizer()
        return SchemaConstraint(tokenizer, request.schema, self.model.vocab_tokens)

    def _grammar_of(self, request: Request) -> Constraint | None:
        return None if request.grammar is None else GbnfConstraint(self.model, request.grammar)

    def tokenize(self, text: str) -> list[int]:
        """The tokens of a text, special ones included. Raises EngineStoppedError."""
        with self._while_it_runs():
            return self.model.tokenize(text)

    @contextmanager
    def _while_it_runs(self) -> Iterator[None]:
        """The model is there within, whoever stops the engine meanwhile."""
        with self._in_use:
            if self._is_stopping:
                raise EngineStoppedError("The engine has been stopped and takes no requests")
            yield

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> bool:
        """End the thread and all generations, and free everything.

        A generation that its reader had cancelled ends as `cancelled`, any other as `error`, since
        nobody asked for its end. Returns False where a step took longer than `timeout_s`.
        """
        with self._in_use:
            self._is_stopping = True
        self._wake()
        if self._thread.ident is None:
            self._close()
        else:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def running(self) -> int:
        """Sequences in slots; a snapshot for people."""
        return len(self._admission.running)

    @property
    def waiting(self) -> int:
        return len(self._admission.waiting) + self._inbox.qsize()

    def _wake(self) -> None:
        self._inbox.put(())

    def _run(self) -> None:
        try:
            self._warm_up()
            while not self._is_stopping:
                self._receive()
                self._has_work = self._guarded_step()
        except BaseException as ex:  # whatever it is, it ends no other thread
            logger.critical("The engine's thread ends", exc_info=True)
            self._stopped_by = f"The engine stopped by itself: {ex!r}; its log says how"
        finally:
            if self._on_death is not None and not self._is_stopping:
                self._on_death()
            self._close()

    def _warm_up(self) -> None:
        """Bring the weights into memory, and learn what a prompt token takes."""
        for _ in range(2):
            took_ms = self._stepper.warm_up(_WARM_UP_TOKENS)
            if took_ms:
                self._budget.learn(0, _WARM_UP_TOKENS, took_ms)

    def _receive(self) -> None:
        """Take what has come in; wait for it where there is nothing else to do."""
        if not self._has_work and not self._is_stopping:
            self._take(self._inbox.get())
        while not self._inbox.empty():
            self._take(self._inbox.get())

    def _take(self, sequences: tuple[Sequence, ...]) -> None:
        for sequence in sequences:
            self._admission.add(sequence)

    def _guarded_step(self) -> bool:
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
            logprob = token_logprob(self.model, self._context.logits(row), token, wanted)
        reason = extend_reply(self.model, sequence, token, logprob, self.context_tokens)
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

    def _close(self) -> None:
        """End what is left, and free everything."""
        with self._in_use:
            self._is_stopping = True
            self._receive()
            self._drop_cancelled()
            for sequence in (*self._admission.running, *self._admission.waiting):
                self._fail(sequence, self._stopped_by)
            self._deliver()
            self._context.close()
            self.model.close()
        if self._disk is not None:
            self._disk.close()
