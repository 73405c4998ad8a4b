"""The model's own chat templates, applied to one request's messages.

Invariant: whatever a template does with the messages, an error of it belongs to that request; what
it can be brought to keep is kept, and what a tool said always is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llama_engine.chat.arrangements import arrangements, first_left_out, shows_python
from llama_engine.chat.chat_backend import ChatMessage
from llama_engine.chat.reply_formats import ReplyFormat, format_of
from llama_engine.chat.template_process import TemplateProcess, TemplateStoppedError
from llama_engine.chat.tools import Tools
from llama_engine.errors import ParameterError, TemplateError

logger = logging.getLogger(__name__)

CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] + '\n' + message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For models without a template of their own."""
DEFAULT = "default"
WITH_TOOLS = "tool_use"
"""How models that have several templates call the one for requests with tools."""


@dataclass(frozen=True)
class TemplateOptions:
    """What a template is told beside the messages. `template` is the name of one of the model's;
    None: the usual one. `variables` are what it may ask for, `enable_thinking` for instance."""

    tools: Tools = field(default_factory=Tools)
    template: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


NO_OPTIONS = TemplateOptions()


@dataclass(frozen=True)
class Prompt:
    """What the model gets. `begun` is the end of it that belongs to the reply already, `template`
    what rendered it, `form` how the model writes its reply."""

    text: str
    begun: str
    template: str
    form: ReplyFormat

    @property
    def is_thinking(self) -> bool:
        """Whether the template had the model begin with a thought."""
        return self.form.has_opened(self.text.removesuffix(self.begun))


class ChatTemplate:
    """Turns messages into the text that the model was trained on.

    `templates` are the model's, by name; `now` is what they take for the date.
    """

    def __init__(
        self,
        templates: Mapping[str, str],
        bos_text: str,
        eos_text: str,
        add_bos: bool,
        process: TemplateProcess | None = None,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        if not templates:
            logger.warning("The model has no chat template: ChatML is used, which it may not know")
        self._templates = {DEFAULT: CHATML} if not templates else dict(templates)
        self._tokens = {"bos_token": bos_text, "eos_token": eos_text}
        self._leading = bos_text if add_bos else ""
        self._process = process or TemplateProcess()
        self._now = now

    def text_of(self, options: TemplateOptions = NO_OPTIONS) -> str:
        """The template that such a request takes. Raises ParameterError."""
        name = options.template
        if name is not None:
            if not isinstance(name, str) or name not in self._templates:
                raise ParameterError("chat_template", f"one of {', '.join(self._templates)}", name)
            return self._templates[name]
        if options.tools.listed and WITH_TOOLS in self._templates:
            return self._templates[WITH_TOOLS]
        return self._templates.get(DEFAULT) or next(iter(self._templates.values()))

    def render(self, messages: Sequence[ChatMessage], options: TemplateOptions = NO_OPTIONS) -> str:
        """The prompt's text: see `prompt`."""
        return self.prompt(messages, options).text

    def prompt(
        self, messages: Sequence[ChatMessage], options: TemplateOptions = NO_OPTIONS
    ) -> Prompt:
        """The prompt, special tokens spelled out and the start token included. Where the assistant
        spoke last, the reply goes on from its words.

        Raises TemplateError where the template refuses the messages, ParameterError.
        """
        template = self.text_of(options)
        form = format_of(template)
        is_begun = len(messages) > 1 and messages[-1]["role"] == "assistant"
        text = self._rendered(template, messages[:-1] if is_begun else messages, options)
        if not text.startswith(self._leading):
            text = self._leading + text
        begun = _begun(form, text, messages[-1]) if is_begun else ""
        return Prompt(text + begun, begun, template, form)

    def close(self) -> None:
        """End the process that renders."""
        self._process.close()

    def _rendered(
        self, template: str, messages: Sequence[ChatMessage], options: TemplateOptions
    ) -> str:
        """In the first way that keeps every word, else in the last one that the template takes.

        Raises the plainest way's error where it takes none.
        """
        error: TemplateError | None = None
        changed: str | None = None
        for arranged in arrangements(messages):
            try:
                text = self._applied(template, arranged, options)
            except TemplateStoppedError:
                raise
            except TemplateError as ex:
                logger.debug("%s", ex)
                error = error or ex
                continue
            if first_left_out(text, messages) is None and not shows_python(text, arranged):
                return _with_tools(text, options)
            if not any(isinstance(message.get("content"), list) for message in arranged):
                changed = text
        if changed is None:
            raise error or TemplateError("There are no messages")
        _check_tool_messages(changed, messages)
        logger.debug("The chat template changes what was said")
        return _with_tools(changed, options)

    def _applied(
        self, template: str, messages: Sequence[Mapping[str, Any]], options: TemplateOptions
    ) -> str:
        variables = {
            **options.variables,
            **self._tokens,
            "messages": messages,
            "tools": options.tools.listed or None,
            "documents": None,
            "add_generation_prompt": True,
        }
        return self._process.render(template, variables, self._now())


def _begun(form: ReplyFormat, prompt: str, message: ChatMessage) -> str:
    if message.get("tool_calls"):
        raise ParameterError("messages", "what the tools said after an assistant's calls", "none")
    return form.begun(prompt, message)


def _check_tool_messages(text: str, messages: Sequence[ChatMessage]) -> None:
    """Raise TemplateError for a template that does not know the role of tools."""
    of_tools = [one for one in messages if one["role"] == "tool" or one.get("tool_calls")]
    if first_left_out(text, of_tools) is not None:
        raise TemplateError(
            "messages: the model's chat template leaves out a call of a tool, or what a message of "
            "role tool says. Use a model that was trained to call tools"
        )


def _with_tools(text: str, options: TemplateOptions) -> str:
    """The text. Raises TemplateError where the tools are missing in it."""
    if all(name in text for name in options.tools.parameters):
        return text
    raise TemplateError(
        "tools: the model's chat template does not show them to the model. Leave them out, or use "
        "a model that was trained to call tools"
    )
