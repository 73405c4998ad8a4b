"""From the arguments of a chat completion, as llama-cpp-python and OpenAI name them, to a request.

Invariant: every argument is kept or refused by name; none is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama_engine.chat.chat_template import TemplateOptions
from llama_engine.chat.tools import read_tools
from llama_engine.errors import GrammarError, ParameterError
from llama_engine.schedule.generation import Request
from llama_engine.text.json_schema import JSON_OBJECT_SCHEMA
from llama_engine.text.sampling import SamplingParams
from llama_engine.text.schema_check import schema_grammar

_SAMPLING = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repeat_penalty": "repeat_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "mirostat_mode": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
    "seed": "seed",
}
"""Argument: field of SamplingParams."""
_OTHERS = (
    "max_tokens", "stop", "logit_bias", "logprobs", "top_logprobs", "grammar", "response_format",
    "tools", "tool_choice", "chat_template", "enable_thinking", "reasoning_effort",
)  # fmt: skip
_WITHOUT_EFFECT: dict[str, Callable[[Any], bool]] = {
    "stream": lambda _: True,
    "model": lambda _: True,
    "tfs_z": lambda value: value == 1,
    "n": lambda value: value == 1,
    "functions": lambda value: not value,
    "function_call": lambda value: value in (None, "none"),
    "logits_processor": lambda value: not value,
}
"""Arguments that are known, and whether a value of one asks for nothing."""

REASONING_EFFORTS = ("minimal", "low", "medium", "high")


def request_of(
    tokens: Sequence[int],
    arguments: Mapping[str, Any],
    grammar_of: Callable[[Any], str] = schema_grammar,
) -> Request:
    """`grammar_of` makes of a JSON schema what the reply is held to.

    Raises ParameterError or GrammarError.
    """
    for name, value in arguments.items():
        if name in _WITHOUT_EFFECT:
            if not _WITHOUT_EFFECT[name](value):
                raise ParameterError(name, "nothing, since it is not supported", value)
        elif name not in _SAMPLING and name not in _OTHERS:
            raise ParameterError(name, "a known argument", value)
    schema = _schema(arguments.get("response_format"))
    return Request(
        tokens=tokens,
        sampling=_sampling(arguments),
        max_tokens=max(0, _given(arguments, "max_tokens", 0)),
        stop=_stop(arguments.get("stop")),
        grammar=_grammar(arguments),
        schema=None if schema is None else grammar_of(schema),
        top_logprobs=_top_logprobs(arguments),
    )


def template_options(arguments: Mapping[str, Any]) -> TemplateOptions:
    """What the chat template is told. Raises ParameterError."""
    variables: dict[str, Any] = {}
    thinking, effort = arguments.get("enable_thinking"), arguments.get("reasoning_effort")
    if thinking is not None:
        if not isinstance(thinking, bool):
            raise ParameterError("enable_thinking", "true or false", thinking)
        variables |= {"enable_thinking": thinking, "thinking": thinking}  # as DeepSeek calls it
    if effort is not None:
        if effort not in REASONING_EFFORTS:
            expected = f"one of {', '.join(REASONING_EFFORTS)}"
            raise ParameterError("reasoning_effort", expected, effort)
        variables["reasoning_effort"] = effort
    return TemplateOptions(read_tools(arguments), arguments.get("chat_template"), variables)


def _given(arguments: Mapping[str, Any], name: str, default: int) -> int:
    value = arguments.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise ParameterError(name, "a whole number", value)
    return value


def _sampling(arguments: Mapping[str, Any]) -> SamplingParams:
    """None is the default, as in llama-cpp-python."""
    fields = {
        field: arguments[name]
        for name, field in _SAMPLING.items()
        if arguments.get(name) is not None
    }
    return SamplingParams(**fields, logit_bias=_biases(arguments.get("logit_bias")))


def _biases(value: Any) -> dict[int, float]:
    """Token ids may be texts, as JSON has them."""
    if not value:
        return {}
    if not isinstance(value, Mapping):
        raise ParameterError("logit_bias", "an object of token ids and numbers", value)
    try:
        return {int(token): float(bias) for token, bias in value.items()}
    except (TypeError, ValueError) as ex:
        raise ParameterError("logit_bias", "an object of token ids and numbers", value) from ex


def _stop(value: Any) -> tuple[str, ...]:
    if not value:
        return ()
    texts = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(text, str) for text in texts):
        raise ParameterError("stop", "a text or a list of texts", value)
    return texts


def _top_logprobs(arguments: Mapping[str, Any]) -> int | None:
    wanted, count = arguments.get("logprobs"), _given(arguments, "top_logprobs", 0)
    if not wanted:
        if count:
            raise ParameterError("top_logprobs", "logprobs to be true beside it", count)
        return None
    return count


def _grammar(arguments: Mapping[str, Any]) -> str | None:
    grammar = arguments.get("grammar")
    if grammar is not None and arguments.get("response_format") is not None:
        raise GrammarError("grammar and response_format: expected one of them, got both")
    if grammar is not None and not isinstance(grammar, str):
        raise GrammarError(f"grammar: expected GBNF text, got {type(grammar).__name__}")
    return grammar


def _schema(wanted: Any) -> Any:
    """OpenAI's two ways to ask for JSON, and llama-cpp-python's (`json_object` with `schema`)."""
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return wanted.get("schema") or JSON_OBJECT_SCHEMA
    if kind == "json_schema":
        named = wanted.get("json_schema")
        schema = named.get("schema") if isinstance(named, Mapping) else wanted.get("schema")
        if schema is None:
            raise ParameterError("response_format", "json_schema to have a schema", wanted)
        return schema
    raise ParameterError("response_format", "type text, json_object or json_schema", wanted)
