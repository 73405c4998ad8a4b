"""The grammars of replies that must be JSON, or call a tool, for llguidance.

Invariant: a text that a grammar accepts is read by the parser as such a reply, or as one call of a
demanded tool with arguments that its schema accepts (Gemma's are no JSON, and held to be objects
only). A thought before it is free: nothing is held to anything until it has ended.

Source: https://github.com/guidance-ai/llguidance (its Lark syntax)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from llama_engine.chat.chat_template import Prompt
from llama_engine.chat.reply_formats import (
    CLOSES_GEMMA,
    DEEPSEEK,
    GEMMA,
    GPT_OSS,
    HERMES,
    LLAMA,
    MISTRAL,
)
from llama_engine.chat.tools import Tools
from llama_engine.errors import ParameterError
from llama_engine.text.json_schema import prepare_schema
from llama_engine.text.schema_check import SPACING, lark_grammar, schema_grammar

_GEMMA_VALUES = r"""
members: "{" (pair ("," pair)*)? "}"
pair: /[A-Za-z_][A-Za-z0-9_]{0,63}/ ":" value
value: quoted | /-?[0-9]{1,15}(\.[0-9]{1,15})?/ | "true" | "false" | "null" | members | list
list: "[" (value ("," value)*)? "]"
"""
_Call = Callable[[Prompt, str, str], str]
"""A call's rule, of a tool's name and of the name of the rule of its arguments."""


def call_grammar(prompt: Prompt, tools: Tools) -> str:
    """A grammar that is safe to compile. Raises ParameterError, GrammarError."""
    call = _CALLS.get(prompt.form.family)
    if call is None:
        expected = "auto or none: how this model calls tools is not known"
        raise ParameterError("tool_choice", expected, tools.demanded)
    calls = [call(prompt, name, f"args{at}") for at, name in enumerate(tools.demanded)]
    rules = [f"start: {_thought(prompt)} ({' | '.join(calls)})"]
    rules += _thought_rules(prompt)
    if prompt.form.family == GEMMA:
        rules.append(_GEMMA_VALUES + f"quoted: {_gemma_quoted(prompt)}")
    else:
        schemas = [tools.parameters[name] for name in tools.demanded]
        rules += [f"args{at}: %json {_json(schema)}" for at, schema in enumerate(schemas)]
    return lark_grammar("\n".join([*rules, ""]))


def json_grammar(prompt: Prompt, schema: Any) -> str:
    """The same of a reply that is JSON. Raises GrammarError.

    Only a thought that the prompt begins comes before it, and gpt-oss' channels.
    """
    if prompt.form.family == GPT_OSS and not prompt.begun:
        start = f"{_thought(prompt)} {_text('<|channel|>final<|message|>')} json"
    elif prompt.is_thinking and not prompt.begun:
        start = "thought json"
    else:
        return schema_grammar(schema)
    return lark_grammar(
        "\n".join([f"start: {start}", *_thought_rules(prompt), f"json: %json {_json(schema)}", ""])
    )


def _thought(prompt: Prompt) -> str:
    if prompt.is_thinking:
        return "thought"
    return "opened?" if prompt.form.knows_thoughts else ""


def _thought_rules(prompt: Prompt) -> list[str]:
    """What the model thinks: anything, up to its mark."""
    if not prompt.form.knows_thoughts:
        return []
    opens, closes = prompt.form.thinking or ("", "")
    after = r"/[ \n]{0,2}/"
    if prompt.form.family == GPT_OSS:
        opens, closes = "<|channel|>analysis<|message|>", "<|end|>"
        after = _text("<|start|>assistant")
    rules = [
        f"thought: thinking {after}",
        f"thinking[suffix={json.dumps(closes)}]: /(?s:.*)/",
    ]
    return rules if prompt.is_thinking else [*rules, f"opened: {_text(opens)} thought"]


def _hermes(_prompt: Prompt, name: str, arguments: str) -> str:
    begin = f'<tool_call>\n{{"name": "{name}", "arguments": '
    return _around(begin, arguments, "}\n</tool_call>")


def _llama(_prompt: Prompt, name: str, arguments: str) -> str:
    begin = f'{{"name": "{name}", "parameters": '
    return _around(begin, arguments, "}")


def _mistral(prompt: Prompt, name: str, arguments: str) -> str:
    if "[ARGS]" in prompt.template:
        return _around(f"[TOOL_CALLS]{name}[ARGS]", arguments)
    begin = f'[TOOL_CALLS] [{{"name": "{name}", "arguments": '
    return _around(begin, arguments, "}]")


def _deepseek(prompt: Prompt, name: str, arguments: str) -> str:
    begin = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"
    end = "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    if "```json" in prompt.template:  # V3 and R1
        begin, end = f"{begin}function<｜tool▁sep｜>{name}\n```json\n", f"\n```{end}"
    else:
        begin = f"{begin}{name}<｜tool▁sep｜>"
    return _around(begin, arguments, end)


def _gemma(prompt: Prompt, name: str, _arguments: str) -> str:
    opens = prompt.form.opens_call
    return _around(f"{opens}call:{name}", "members", CLOSES_GEMMA[opens])


def _gemma_quoted(prompt: Prompt) -> str:
    mark = "<escape>" if prompt.form.opens_call.startswith("<start") else '<|"|>'
    return _around(mark, "/[^<]*/", mark)


def _gpt_oss(_prompt: Prompt, name: str, arguments: str) -> str:
    begin = f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"
    return _around(begin, arguments)


_CALLS: dict[str, _Call] = {
    HERMES: _hermes,
    LLAMA: _llama,
    MISTRAL: _mistral,
    DEEPSEEK: _deepseek,
    GEMMA: _gemma,
    GPT_OSS: _gpt_oss,
}


def _around(begin: str, rule: str, end: str = "") -> str:
    return f"{_text(begin)} {rule}" + (f" {_text(end)}" if end else "")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _json(schema: Any) -> str:
    return json.dumps({**json.loads(prepare_schema(schema)), "x-guidance": SPACING})
