"""From messages and options to what is generated, and how it is read.

Invariant: what the reply is held to and what reads it fit each other: a grammar of the client's own
is text alone, JSON is the reply, a demanded call is a call, and thoughts before them are thoughts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from llama_engine.chat.chat_backend import ChatMessage
from llama_engine.chat.chat_options import request_of, template_options
from llama_engine.chat.chat_template import ChatTemplate, Prompt
from llama_engine.chat.reply_formats import PLAIN
from llama_engine.chat.reply_grammar import call_grammar, json_grammar
from llama_engine.chat.reply_parser import ReplyParser
from llama_engine.chat.tools import Tools
from llama_engine.errors import ParameterError
from llama_engine.schedule.generation import Request

Tokenize = Callable[[str], list[int]]


def plan_reply(
    template: ChatTemplate,
    tokenize: Tokenize,
    messages: Sequence[ChatMessage],
    options: Mapping[str, Any],
) -> tuple[Request, ReplyParser]:
    """Raises ParameterError, GrammarError, TemplateError."""
    told = template_options(options)
    prompt = template.prompt(messages, told)
    request = request_of(tokenize(prompt.text), options, partial(json_grammar, prompt))
    parser = _parser_of(prompt, told.tools, request)
    if told.tools.demanded:
        request = _calling(request, prompt, told.tools)
    return request, parser


def _parser_of(prompt: Prompt, tools: Tools, request: Request) -> ReplyParser:
    """A parser where the reply begins."""
    if request.grammar is not None:
        return ReplyParser(PLAIN, {})
    offered = tools.parameters if request.schema is None else {}
    parser = ReplyParser(prompt.form, offered, is_thinking=prompt.is_thinking)
    parser.skip(prompt.begun)
    return parser


def _calling(request: Request, prompt: Prompt, tools: Tools) -> Request:
    """The request, held to a call."""
    if request.grammar is not None or request.schema is not None or prompt.begun:
        expected = "auto or none beside grammar, response_format, or words of the assistant's"
        raise ParameterError("tool_choice", expected, ", ".join(tools.demanded))
    return replace(request, schema=call_grammar(prompt, tools))
