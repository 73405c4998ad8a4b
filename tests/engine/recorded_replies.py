"""Replies as families of models write them, control tokens spelled out, and what they say."""

from __future__ import annotations

from dataclasses import dataclass, field

from llama_engine.chat.reply_formats import ReplyFormat, format_of

PARAMETERS = {"type": "object", "properties": {
    "city": {"type": "string"}, "days": {"type": "integer"}}}  # fmt: skip
TOOLS = {"weather": PARAMETERS, "clock": {"type": "object"}}
ARGUMENTS = '{"city": "Köln", "days": 2}'


@dataclass(frozen=True)
class Recorded:
    """`template` is what tells the format; the calls are names and arguments, in their order."""

    template: str
    text: str
    reply: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    is_thinking: bool = False
    form: ReplyFormat = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "form", format_of(self.template))


WEATHER = ("weather", ARGUMENTS)
CLOCK = ("clock", "{}")
QWEN, DEEPSEEK = "<tool_call> </think>", "<｜tool▁calls▁begin｜> </think>"

RECORDED = {
    "plain": Recorded("", " Hello, <b>you</b>!\n", reply=" Hello, <b>you</b>!\n"),
    "qwen 3": Recorded(
        QWEN,
        "<think>\nThe user asks for <rain>.\n</think>\n\nI look.\n\n<tool_call>\n"
        f'{{"name": "weather", "arguments": {ARGUMENTS}}}\n</tool_call>\n<tool_call>\n'
        '{"name": "clock", "arguments": {}}\n</tool_call>',
        reply="I look.",
        reasoning="The user asks for <rain>.",
        calls=(WEATHER, CLOCK),
    ),
    "qwen 3 that does not think": Recorded(QWEN, "<think>\n\n</think>\n\nYes.\n", reply="Yes.\n"),
    "qwen 3 coder": Recorded(
        QWEN,
        "Now.\n<tool_call>\n<function=weather>\n<parameter=city>\nKöln\n</parameter>\n"
        "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>",
        reply="Now.",
        calls=(WEATHER,),
    ),
    "hermes 2, the name last": Recorded(
        QWEN,
        f'<tool_call>\n{{"arguments": {ARGUMENTS}, "name": "weather"}}\n</tool_call>\n',
        calls=(WEATHER,),
    ),
    "llama 3": Recorded(
        "<|start_header_id|>",
        f'{{"name": "weather", "parameters": {ARGUMENTS}}}; {{"name":"clock","parameters":{{}}}}',
        calls=(WEATHER, CLOCK),
    ),
    "llama 3 with its tag": Recorded(
        "<|start_header_id|>",
        f'<|python_tag|>{{"type": "function", "name": "weather", "parameters": {ARGUMENTS}}}',
        calls=(WEATHER,),
    ),
    "mistral": Recorded(
        "[TOOL_CALLS]",
        f'[TOOL_CALLS] [{{"name": "weather", "arguments": {ARGUMENTS}, "id": "a1b2c3d4e"}}, '
        '{"name": "clock", "arguments": {}}]',
        calls=(WEATHER, CLOCK),
    ),
    "magistral": Recorded(
        "[TOOL_CALLS][THINK][/THINK]",
        f"[THINK]Rain, then.[/THINK]Let me see.[TOOL_CALLS]weather[ARGS]{ARGUMENTS}"
        "[TOOL_CALLS]clock[CALL_ID]12ab[ARGS]{}",
        reply="Let me see.",
        reasoning="Rain, then.",
        calls=(WEATHER, CLOCK),
    ),
    "deepseek r1": Recorded(
        DEEPSEEK,
        "First the city.\n</think>\n\nI ask.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"
        f"<｜tool▁sep｜>weather\n```json\n{ARGUMENTS}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>"
        "function<｜tool▁sep｜>clock\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        reply="I ask.",
        reasoning="First the city.",
        calls=(WEATHER, CLOCK),
        is_thinking=True,
    ),
    "deepseek v3.1": Recorded(
        DEEPSEEK,
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{ARGUMENTS}<｜tool▁call▁end｜>"
        "<｜tool▁calls▁end｜>",
        calls=(WEATHER,),
    ),
    "function gemma": Recorded(
        "<start_function_call>",
        "<start_function_call>call:weather{city:<escape>Köln<escape>,days:2}<end_function_call>"
        "<start_function_call>call:clock{}<end_function_call>",
        calls=(WEATHER, CLOCK),
    ),
    "gemma 4": Recorded(
        "<|tool_call> <channel|>",
        "<|channel>thought\nRain: yes or no?\n<channel|>Wait.<|tool_call>call:weather{"
        'city:<|"|>Köln<|"|>,days:2}<tool_call|>',
        reply="Wait.",
        reasoning="Rain: yes or no?",
        calls=(WEATHER,),
    ),
    "gpt-oss": Recorded(
        "<|channel|>",
        "<|channel|>analysis<|message|>Need the weather.<|end|><|start|>assistant<|channel|>"
        "commentary<|message|>I look it up.<|end|><|start|>assistant<|channel|>commentary "
        f"to=functions.weather <|constrain|>json<|message|>{ARGUMENTS}<|call|>",
        reply="I look it up.",
        reasoning="Need the weather.",
        calls=(WEATHER,),
    ),
    "gpt-oss, the tool before the channel": Recorded(
        "<|channel|>",
        " to=functions.weather<|channel|>commentary json<|message|>" + ARGUMENTS,
        calls=(WEATHER,),
    ),
    "gpt-oss that answers": Recorded(
        "<|channel|>",
        "<|channel|>analysis<|message|>Easy.<|end|><|start|>assistant<|channel|>final<|message|>"
        "It rains <|in Köln|>.",
        reply="It rains <|in Köln|>.",
        reasoning="Easy.",
    ),
}

UNREADABLE = {
    "no JSON": Recorded(QWEN, text := "<tool_call>\nweather in Köln\n</tool_call> ok", reply=text),
    "more than a call": Recorded(
        QWEN,
        text := '<tool_call>{"function": {"name": "clock"}, "why": "I must"}</tool_call>',
        reply=text,
    ),
    "a call of another kind": Recorded(
        QWEN,
        text := '<tool_call>{"type": "code", "name": "clock", "arguments": {}}</tool_call>',
        reply=text,
    ),
    "another tool": Recorded(
        QWEN, text := '<tool_call>{"name": "rm", "arguments": {}}</tool_call>', reply=text
    ),
    "cut before its arguments": Recorded(
        QWEN, text := 'Hm\n<tool_call>\n{"name": "wea', reply=text
    ),
    "JSON that is the answer": Recorded(
        "<|start_header_id|>", text := '{"city": "Köln"}\nThat is it.', reply=text
    ),
    "Llama's own tools": Recorded(
        "<|start_header_id|>", text := '<|python_tag|>brave.call(query="a")', reply=text
    ),
    "no list": Recorded("[TOOL_CALLS]", text := "[TOOL_CALLS] nothing to call", reply=text),
    "a mark alone": Recorded(DEEPSEEK, text := "<｜tool▁calls▁begin｜> so", reply=text),
    "gemma without braces": Recorded(
        "<start_function_call>", text := "<start_function_call>call:clock<end_function_call>",
        reply=text,
    ),
    "a tool of the browser": Recorded(
        "<|channel|>", text := "<|channel|>commentary to=browser.open<|message|>{}", reply=text
    ),
    "no header": Recorded("<|channel|>", text := "<|channel|>loud and clear", reply=text),
    "marks within": Recorded(QWEN, text := "Use <think> first, </think> then.", reply=text),
    "half a mark": Recorded(QWEN, text := "a < b <tool_ca", reply=text),
}  # fmt: skip

PARTLY_READ = {
    "cut in its arguments": Recorded(
        QWEN,
        '<tool_call>\n{"name": "weather", "arguments": {"city": "K\\"öln <tool_call> }',
        calls=(("weather", '{"city": "K\\"öln <tool_call> }'),),
    ),
    "more than arguments": Recorded(
        QWEN,
        f'<tool_call>{{"name": "weather", "arguments": {ARGUMENTS}, "why": 1}}</tool_call>',
        reply=', "why": 1}</tool_call>',
        calls=(WEATHER,),
    ),
    "a thought without its end": Recorded(QWEN, "<think>\nWell, <", reasoning="Well, <"),
    "the next call is none": Recorded(
        "[TOOL_CALLS]",
        '[TOOL_CALLS][{"name": "clock", "arguments": {}}, {"name": "rm"}]',
        reply=', {"name": "rm"}]',
        calls=(CLOCK,),
    ),
}
