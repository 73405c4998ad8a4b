"""Templates of known families render as their families publish it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import template_families as families
from llama_engine.chat.chat_template import ChatTemplate, TemplateOptions
from llama_engine.chat.messages import read_messages
from llama_engine.chat.template_process import TemplateProcess, TemplateStoppedError
from llama_engine.chat.tools import Tools, read_tools
from llama_engine.errors import ParameterError, TemplateError

SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Why?"},
]
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells the weather.", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}}},
}  # fmt: skip
CALL = {"id": "call_1", "type": "function", "function": {
    "name": "weather", "arguments": '{"city": "Köln"}'}}  # fmt: skip
CALLED = [
    {"role": "user", "content": "Rain?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "No"},
]
TOOLS = read_tools({"tools": [WEATHER]})
TODAY = datetime(2025, 3, 9, 8, 0)


@pytest.fixture(scope="module")
def process() -> Iterator[TemplateProcess]:
    process = TemplateProcess()
    yield process
    process.close()


class Family:
    """A template, and its start and end tokens."""

    def __init__(self, process: TemplateProcess, text: str, bos: str = "", eos: str = "") -> None:
        named = {"default": text}
        self._template = ChatTemplate(named, bos, eos, False, process, now=lambda: TODAY)

    def __call__(
        self, messages: list[dict[str, Any]], tools: Tools | None = None, **variables: Any
    ) -> str:
        options = TemplateOptions(tools or Tools(), None, variables)
        return self._template.render(read_messages(messages), options)


def test_qwen_2_5(process: TemplateProcess) -> None:
    qwen = Family(process, families.QWEN_2_5)
    assert qwen([SYSTEM, *TURNS]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert qwen(CALLED, TOOLS) == (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
        f"\n\n# Tools\n\n<tools>\n{json.dumps(WEATHER)}\n</tools><|im_end|>\n"
        "<|im_start|>user\nRain?<|im_end|>\n<|im_start|>assistant\n<tool_call>\n"
        '{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\nNo\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_qwen_3_and_what_it_thought(process: TemplateProcess) -> None:
    qwen = Family(process, families.QWEN_3)
    said = {"role": "assistant", "content": "<think>\nA greeting.\n</think>\n\nHello!"}
    expected = (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n"
        "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    )
    thought = [TURNS[0], said, TURNS[2]]
    assert qwen(thought) == qwen(thought, enable_thinking=True) == expected
    assert qwen(thought, enable_thinking=False) == expected + "<think>\n\n</think>\n\n"


def test_llama_2(process: TemplateProcess) -> None:
    llama = Family(process, families.LLAMA_2, "<s>", "</s>")
    assert llama([SYSTEM, *TURNS]) == (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello! </s><s>[INST] Why? [/INST]"
    )


def test_llama_3_with_its_date(process: TemplateProcess) -> None:
    llama = Family(process, families.LLAMA_3, "<|begin_of_text|>")
    head = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
    dates = "Cutting Knowledge Date: December 2023\nToday Date: 09 Mar 2025\n\n"
    user, assistant = (
        f"<|eot_id|><|start_header_id|>{role}<|end_header_id|>\n\n"
        for role in ("user", "assistant")
    )
    assert llama([SYSTEM, *TURNS]) == (
        f"{head}{dates}Be brief.{user}Hi{assistant}Hello!{user}Why?{assistant}"
    )
    result = user.replace("user", "ipython")
    assert llama(CALLED, TOOLS) == (
        f"{head}Environment: ipython\n{dates}{user}{json.dumps(WEATHER, indent=4)}\n\nRain?"
        f'{assistant}{{"name": "weather", "parameters": {{"city": "Köln"}}}}{result}"No"{assistant}'
    )
    with pytest.raises(TemplateError, match="one call at a time"):
        llama([CALLED[0], {**CALLED[1], "tool_calls": [CALL, CALL]}, CALLED[2]], TOOLS)
    with pytest.raises(ParameterError, match="expected what the tools said after"):
        llama(CALLED[:2], TOOLS)


def test_mistral_v0_2_has_no_system_role_and_alternates(process: TemplateProcess) -> None:
    mistral = Family(process, families.MISTRAL_V0_2, "<s>", "</s>")
    assert mistral([SYSTEM, *TURNS]) == (
        "<s>[INST] Be brief.\n\nHi [/INST]Hello!</s>[INST] Why? [/INST]"
    )
    cut_off = [SYSTEM, TURNS[0], TURNS[2]]
    assert mistral(cut_off) == "<s>[INST] Be brief.\n\nHi\n\nWhy? [/INST]"
    with pytest.raises(TemplateError, match="roles must alternate"):
        mistral([TURNS[1], TURNS[2]])


def test_mistral_v3_has_short_ids(process: TemplateProcess) -> None:
    mistral = Family(process, families.MISTRAL_V3, "<s>", "</s>")
    assert mistral([SYSTEM, *TURNS]) == (
        "<s>[INST] Hi[/INST] Hello!</s>[INST] Be brief.\n\nWhy?[/INST]"
    )
    assert mistral(CALLED, TOOLS) == (
        f"<s>[AVAILABLE_TOOLS] [{json.dumps(WEATHER)}][/AVAILABLE_TOOLS][INST] Rain?[/INST]"
        '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Köln"}, "id": "call00000"}]</s>'
        '[TOOL_RESULTS] {"content": No, "call_id": "call00000"}[/TOOL_RESULTS]'
    )


def test_gemma_2_has_no_system_role_and_alternates(process: TemplateProcess) -> None:
    gemma = Family(process, families.GEMMA_2, "<bos>")
    assert gemma([SYSTEM, *TURNS]) == (
        "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n"
        "<start_of_turn>model\nHello!<end_of_turn>\n<start_of_turn>user\nWhy?<end_of_turn>\n"
        "<start_of_turn>model\n"
    )
    with pytest.raises(TemplateError, match="tools: the model's chat template does not show them"):
        gemma(TURNS, TOOLS)
    with pytest.raises(TemplateError, match="roles must alternate"):
        gemma(CALLED)


def test_function_gemma(process: TemplateProcess) -> None:
    gemma = Family(process, families.FUNCTION_GEMMA, "<bos>")
    assert gemma(CALLED, TOOLS) == (
        "<bos><start_of_turn>developer\n<start_function_declaration>declaration:weather"
        "{description:<escape>Tells the weather.<escape>}<end_function_declaration><end_of_turn>\n"
        "<start_of_turn>user\nRain?<end_of_turn>\n<start_of_turn>model\n"
        "<start_function_call>call:weather{city:<escape>Köln<escape>}<end_function_call>"
        "<start_function_response>response:weather{value:<escape>No<escape>}<end_function_response>"
    )


def test_deepseek_r1_has_arguments_as_text(process: TemplateProcess) -> None:
    deepseek = Family(process, families.DEEPSEEK_R1, "<｜begin▁of▁sentence｜>")
    thought = {"role": "assistant", "content": "<think>Hm.</think>Hello!"}
    assert deepseek([SYSTEM, TURNS[0], thought, TURNS[2]]) == (
        "<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi<｜Assistant｜>Hello!<｜end▁of▁sentence｜>"
        "<｜User｜>Why?<｜Assistant｜><think>\n"
    )
    assert deepseek(CALLED) == (
        "<｜begin▁of▁sentence｜><｜User｜>Rain?<｜Assistant｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"
        'function<｜tool▁sep｜>weather\n```json\n{"city": "Köln"}\n```<｜tool▁call▁end｜>'
        "<｜tool▁calls▁end｜><｜end▁of▁sentence｜><｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>No"
        "<｜tool▁output▁end｜><｜tool▁outputs▁end｜><｜Assistant｜><think>\n"
    )


def test_gpt_oss_has_efforts_and_names_of_tools(process: TemplateProcess) -> None:
    oss = Family(process, families.GPT_OSS)
    head = (
        "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
        "Knowledge cutoff: 2024-06\nCurrent date: 2025-03-09\n\nReasoning: high\n\n"
        "# Valid channels: analysis, commentary, final.<|end|><|start|>developer<|message|>"
    )
    assert oss([{**SYSTEM, "role": "developer"}, *TURNS], reasoning_effort="high") == (
        f"{head}# Instructions\n\nBe brief.\n\n<|end|><|start|>user<|message|>Hi<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Hello!<|end|>"
        "<|start|>user<|message|>Why?<|end|><|start|>assistant"
    )
    assert oss(CALLED, TOOLS, reasoning_effort="high") == (
        f"{head}# Tools\n\nnamespace functions {{\n\n// Tells the weather.\n"
        "type weather = (_: any) => any;\n\n}<|end|><|start|>user<|message|>Rain?<|end|>"
        "<|start|>assistant to=functions.weather<|channel|>commentary json<|message|>"
        '{"city": "Köln"}<|call|><|start|>functions.weather to=assistant<|channel|>commentary'
        '<|message|>"No"<|end|><|start|>assistant'
    )


def test_phi_3(process: TemplateProcess) -> None:
    assert Family(process, families.PHI_3)([SYSTEM, *TURNS]) == (
        "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello!<|end|>\n"
        "<|user|>\nWhy?<|end|>\n<|assistant|>\n"
    )


def test_zephyr(process: TemplateProcess) -> None:
    assert Family(process, families.ZEPHYR, "<s>", "</s>")([SYSTEM, TURNS[0]]) == (
        "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n"
    )


def test_a_template_that_looks_for_parts(process: TemplateProcess) -> None:
    assert Family(process, families.SMOL_VLM)([*TURNS[:2], SYSTEM, TURNS[2]]) == (
        "<|im_start|>User: Hi<end_of_utterance>\nAssistant: Hello!<end_of_utterance>\n"
        "System: Be brief.<end_of_utterance>\nUser: Why?<end_of_utterance>\nAssistant:"
    )


def test_what_a_tool_said_is_never_left_out(process: TemplateProcess) -> None:
    zephyr = "{% for m in messages if m.role != 'tool' %}{{ m.content }}{% endfor %}"
    with pytest.raises(TemplateError, match="leaves out a call of a tool, or what a"):
        Family(process, zephyr)(CALLED)


def test_what_is_no_text_is_never_written_as_python_does(process: TemplateProcess) -> None:
    careless = "{% for m in messages %}{{ m.content | string | lower }} {% endfor %}"
    assert Family(process, careless)([SYSTEM, TURNS[0]]) == "be brief.\n\nhi "
    joined = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}"
    joined += "{{ c.function.name ~ c.function.arguments }}{% endfor %}{% endfor %}"
    assert Family(process, joined)(CALLED) == 'Rain?weather{"city": "Köln"}No'


def test_a_template_that_reached_a_limit_is_not_tried_again(process: TemplateProcess) -> None:
    endless = Family(process, "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}{{ messages }}")
    with pytest.raises(TemplateStoppedError, match="stopped: it calls itself too often"):
        endless([SYSTEM, *TURNS])


def test_thoughts_have_both_of_their_names(process: TemplateProcess) -> None:
    both = (
        "{{ messages[0].content }}{{ messages[1].reasoning_content }}{{ messages[1].thinking }}"
        "{{ messages[2].content }}"
    )
    thought = {"role": "assistant", "content": "", "reasoning_content": "Hm."}
    assert Family(process, both)([TURNS[0], thought, TURNS[2]]) == "HiHm.Hm.Why?"


def test_a_reply_that_has_begun_goes_on(process: TemplateProcess) -> None:
    mistral = Family(process, families.MISTRAL_V0_2, "<s>", "</s>")
    assert mistral(TURNS[:2]) == "<s>[INST] Hi [/INST]Hello!"


def test_a_template_by_its_name(process: TemplateProcess) -> None:
    named = {
        "default": "plain {{ messages[0].content }}",
        "rag": "rag {{ messages[0].content }}",
        "tool_use": "tools {{ messages[0].content }} {{ tools[0].function.name }}",
    }
    template = ChatTemplate(named, "", "", False, process)
    said = read_messages(TURNS[:1])
    assert template.render(said) == "plain Hi"
    assert template.render(said, TemplateOptions(template="rag")) == "rag Hi"
    assert template.render(said, TemplateOptions(TOOLS)) == "tools Hi weather"
    with pytest.raises(ValueError, match="chat_template: expected one of default, rag, tool_use"):
        template.render(said, TemplateOptions(template="none"))
