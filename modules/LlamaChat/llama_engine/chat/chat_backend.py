"""What LlamaChat needs from whatever runs the model.

Invariant: this is the whole seam. Whatever satisfies `ChatBackend` can run the model without a
change above; the engine does, and tests put stand-ins in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

Chunk = dict[str, Any]
"""One piece of a streamed chat completion, in llama-cpp-python's (OpenAI's) shape."""
Completion = dict[str, Any]
"""A whole chat completion, likewise."""


class _Said(TypedDict):
    role: str
    """`system`, `user`, `assistant` or `tool`."""
    content: str


class ChatMessage(_Said, total=False):
    """One message of a conversation, in OpenAI's shape, its content put together."""

    name: str
    reasoning_content: str
    """What the assistant thought before it spoke."""
    tool_calls: list[dict[str, Any]]
    """Each with `id`, `type` and `function`, which has a `name` and `arguments` as JSON text."""
    tool_call_id: str
    """Which call a tool's message answers."""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a loaded model."""

    context_tokens: int
    device: str
    """`GPU` or `CPU`: where llama.cpp really put weights."""
    library: str
    """The accelerator's library, such as `CUDA` or `Metal`; empty on a CPU."""


class ChatStream(Protocol):
    """A reply as it is generated. Iterate; `close()` ends the generation wherever it is."""

    prompt_tokens: int
    completion_tokens: int
    """Tokens sampled so far, the end token not counted."""
    cached_tokens: int
    """Prompt tokens that did not have to be evaluated."""

    def __iter__(self) -> Iterator[Chunk]: ...

    def __next__(self) -> Chunk: ...

    def close(self) -> None:
        """End the generation and free the model for the next one. May be called twice."""


PromptProgress = Callable[[int, int], None]
"""Called between pieces of the prompt with (evaluated, all) tokens."""
ShouldStop = Callable[[], bool]
"""Asked between pieces of the prompt and after every token; True ends the generation."""


class ChatBackend(Protocol):
    """A loaded model that answers conversations."""

    @property
    def facts(self) -> ModelFacts: ...

    def status(self) -> dict[str, Any]:
        """What was chosen and what goes on, for the module's status."""

    def complete(self, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> Completion:
        """The whole reply. Raises PromptTooLongError."""

    def stream(
        self,
        messages: Sequence[ChatMessage],
        options: Mapping[str, Any],
        on_prompt: PromptProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> ChatStream:
        """The reply piece by piece. Raises PromptTooLongError before the first one."""

    def close(self) -> None:
        """Free the model."""
