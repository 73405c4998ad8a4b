"""Many generations at once on one llama.cpp context.

Invariant: one thread, started here, is the only one that touches the context; what it does is
`EngineLoop`'s. Everything that is public here may be called from any thread, and every generation
that was submitted ends with exactly one `Finished`.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from llama_engine.errors import EngineStoppedError
from llama_engine.llama.context import Context
from llama_engine.llama.gbnf_constraint import GbnfConstraint
from llama_engine.llama.sampler import Sampler
from llama_engine.memory.disk_cache import DiskCache
from llama_engine.options import EngineOptions
from llama_engine.schedule.engine_loop import EngineLoop
from llama_engine.schedule.generation import Generation, Request
from llama_engine.schedule.request_check import check_request
from llama_engine.schedule.sequence import Sequence
from llama_engine.text.constraint import Constraint
from llama_engine.text.schema_constraint import SchemaConstraint, SchemaVocabulary

logger = logging.getLogger(__name__)

_STOP_TIMEOUT_S = 30.0

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
        self._inbox: queue.SimpleQueue[tuple[Sequence, ...]] = queue.SimpleQueue()
        self._context = context
        self._disk = disk
        self._loop = EngineLoop(context, options, self.context_tokens, disk, threads, self._wake)
        self.counts, self.snapshots = self._loop.counts, self._loop.snapshots
        self._vocabulary = SchemaVocabulary(context.model)
        self._on_death = on_death
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
        return self._loop.running

    @property
    def waiting(self) -> int:
        return self._loop.waiting + self._inbox.qsize()

    def _wake(self) -> None:
        self._inbox.put(())

    def _run(self) -> None:
        try:
            self._loop.warm_up()
            while not self._is_stopping:
                self._receive()
                self._has_work = self._loop.step()
        except BaseException as ex:  # whatever it is, it ends no other thread
            logger.critical("The engine's thread ends", exc_info=True)
            self._stopped_by = f"The engine stopped by itself: {ex!r}; its log says how"
        finally:
            if self._on_death is not None and not self._is_stopping:
                self._on_death()
            self._close()

    def _receive(self) -> None:
        """Take what has come in; wait for it where there is nothing else to do."""
        if not self._has_work and not self._is_stopping:
            self._take(self._inbox.get())
        while not self._inbox.empty():
            self._take(self._inbox.get())

    def _take(self, sequences: tuple[Sequence, ...]) -> None:
        for sequence in sequences:
            self._loop.add(sequence)

    def _close(self) -> None:
        """End what is left, and free everything."""
        with self._in_use:
            self._is_stopping = True
            self._receive()
            self._loop.end_all(self._stopped_by)
            self._context.close()
            self.model.close()
        if self._disk is not None:
            self._disk.close()
