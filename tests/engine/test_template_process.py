"""Templates that do what none should: each is stopped with an error, and the next one is served."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from llama_engine.chat import template_child
from llama_engine.chat.template_process import TemplateProcess, TemplateStoppedError
from llama_engine.errors import TemplateError

NOW = datetime(2025, 3, 9)


@pytest.fixture
def process() -> Iterator[TemplateProcess]:
    process = TemplateProcess()
    yield process
    process.close()
    process.close()


def rendered(process: TemplateProcess, template: str, **variables: Any) -> str:
    return process.render(template, variables, NOW)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ 'a' * 10 ** 11 }}", "memory"),
        ("{{ '%9999999999d' % 1 }}", "memory"),
        ("{% for a in range(99999) %}{{ 'a' * 1000 }}{% endfor %}", "more than 1000016 characters"),
        ("{% for a in range(10 ** 6) %}{% endfor %}", "Range too big"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "calls itself too often"),
    ],
)
def test_a_template_that_takes_too_much(
    process: TemplateProcess, template: str, message: str
) -> None:
    with pytest.raises(TemplateError, match=message) as error:
        rendered(process, template)
    assert isinstance(error.value, TemplateStoppedError) or "Range" in message
    assert rendered(process, "{{ a }}", a="ä") == "ä"


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize("template", [ENDLESS, "{{ 3 ** (10 ** 8) }}"])
def test_a_template_without_an_end_is_stopped(template: str) -> None:
    process = TemplateProcess(timeout_s=0.5)
    with pytest.raises(TemplateError, match="stopped: it took more than the time"):
        rendered(process, template)
    process.close()


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__self__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ messages.append(1) }}",
        "{{ '{0.__class__}'.format('') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ open('/etc/passwd') }}",
    ],
)
def test_a_template_that_reaches_for_the_system(process: TemplateProcess, template: str) -> None:
    with pytest.raises(TemplateError):
        rendered(process, template, messages=[])


def test_what_it_reaches_for_is_named(process: TemplateProcess) -> None:
    with pytest.raises(TemplateError, match="reaches for '__class__' of a str, which is forbidden"):
        rendered(process, "{{ ''.__class__ }}")


def test_a_child_that_has_ended_is_replaced(process: TemplateProcess) -> None:
    assert rendered(process, "a") == "a"
    child = process._child
    assert child is not None
    child.kill()
    child.wait()
    assert rendered(process, "b") == "b"


def test_the_child_ends_with_its_owner(process: TemplateProcess) -> None:
    other = TemplateProcess()
    rendered(other, "a")
    assert other._child is not None
    pid = other._child.pid
    del other
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_templates_have_what_transformers_gives_them() -> None:
    def text(template: str, **variables: Any) -> str:
        return template_child.rendered(template, variables, NOW.isoformat(), 1000)

    assert text("{{ strftime_now('%d %b %Y') }}") == "09 Mar 2025"
    assert text("{{ a | tojson }}", a={"<b>": "ä"}) == '{"<b>": "ä"}'
    assert text("{% generation %}\n  {{ 1 }}\n{% endgeneration %}\n") == "  1\n"
    assert text("{% for a in [1, 2] %}{% break %}{% endfor %}ok") == "ok"
    with pytest.raises(Exception, match="no such role"):
        text("{{ raise_exception('no such role') }}")
