"""What the chat shows in each state of a command, on scripted commands."""

import pytest
from playwright.sync_api import FrameLocator, Page, expect
from stand_in import Command, StandIn


def ask(chat: FrameLocator, stand_in: StandIn, prompt: str = "What can you do?") -> Command:
    box = chat.get_by_label("Your question")
    box.fill(prompt)
    box.press("Enter")
    return stand_in.next_command()


def test_the_reply_grows_in_place(chat: FrameLocator, stand_in: StandIn) -> None:
    command = ask(chat, stand_in)
    body = chat.locator(".lc-body")
    said = ""
    for word in ("One", " two", " *three*", " four", " 😀 five"):
        command.append(word)
        said += word
        expect(body).to_have_text(said.replace("*", "").strip())
    expect(body.locator("em")).to_have_text("three")
    expect(chat.locator(".lc-turn")).to_have_attribute("aria-busy", "true")
    command.finish(completionTokens=12, tokensPerSecond=31.25, processMs=2400)
    expect(chat.locator(".lc-summary")).to_have_text("Complete · 12 tokens · 31.3 tokens/s · 2.4 s")
    expect(chat.locator(".lc-turn")).to_have_attribute("aria-busy", "false")


def test_what_a_model_thinks_is_there_to_unfold(chat: FrameLocator, stand_in: StandIn) -> None:
    command = ask(chat, stand_in)
    command.set(pieces=[{"channel": "reasoning", "text": "Is it <i>so</i>?"}], nextSequence=15)
    thought = chat.locator(".lc-thought")
    expect(thought.locator("summary")).to_be_visible()
    expect(thought.locator(".lc-plain")).to_be_hidden()
    thought.locator("summary").click()
    expect(thought.locator(".lc-plain")).to_have_text("Is it <i>so</i>?")
    news = [{"channel": "reasoning", "text": " It is."}, {"channel": "reply", "text": "Yes."}]
    command.set(pieces=news, nextSequence=26, completionTokens=9, reply="Yes.")
    expect(thought.locator(".lc-plain")).to_have_text("Is it <i>so</i>? It is.")
    expect(chat.locator(".lc-body")).to_have_text("Yes.")
    command.finish(completionTokens=9)
    expect(chat.locator(".lc-summary")).to_have_text("Complete · 9 tokens")


def test_enter_sends_and_shift_enter_breaks_the_line(chat: FrameLocator, stand_in: StandIn) -> None:
    box = chat.get_by_label("Your question")
    one_line_px = box.evaluate("element => element.clientHeight")
    box.fill("first")
    box.press("Shift+Enter")
    box.type("second")
    assert not stand_in.has_command
    assert box.evaluate("element => element.clientHeight") > one_line_px
    box.press("Enter")
    prompt = stand_in.next_command().params["prompt"]
    assert prompt.replace("\r\n", "\n") == "first\nsecond"  # browsers send form text with CRLF
    expect(box).to_have_value("")


def test_an_empty_prompt_is_not_sent(chat: FrameLocator, stand_in: StandIn) -> None:
    chat.get_by_role("button", name="Send").click()
    expect(chat.get_by_text("Write a question first.")).to_be_visible()
    assert not stand_in.has_command


def test_a_second_prompt_waits_for_the_first(chat: FrameLocator, stand_in: StandIn) -> None:
    ask(chat, stand_in)
    box = chat.get_by_label("Your question")
    box.fill("And this?")
    box.press("Enter")
    expect(chat.get_by_text("A reply is still on its way")).to_be_visible()
    expect(box).to_have_value("And this?")
    assert not stand_in.has_command


@pytest.mark.parametrize("way", ["the Stop button", "Esc in the frame", "Esc outside the frame"])
def test_stop_keeps_what_was_said(
    page: Page, chat: FrameLocator, stand_in: StandIn, way: str
) -> None:
    command = ask(chat, stand_in)
    command.append("The first half")
    expect(chat.locator(".lc-body")).to_have_text("The first half")
    if way == "the Stop button":
        chat.get_by_role("button", name="Stop").click()
    elif way == "Esc in the frame":
        chat.get_by_label("Your question").press("Escape")
    else:
        page.get_by_role("button", name="Use the dark theme").press("Escape")
    expect(chat.locator(".lc-summary")).to_have_text("Stopped")
    expect(chat.locator(".lc-body")).to_have_text("The first half")
    expect(chat.get_by_role("button", name="Send")).to_be_visible()
    assert command.is_cancelled


def test_a_command_that_waits_says_its_place_and_then_its_progress(
    chat: FrameLocator, stand_in: StandIn
) -> None:
    command = ask(chat, stand_in)
    command.set(state="queued", queuePosition=2)
    expect(chat.get_by_text("Waiting: 2 commands are ahead")).to_be_visible()
    command.set(queuePosition=1)
    expect(chat.get_by_text("Waiting: 1 command is ahead")).to_be_visible()
    command.set(state="running", queuePosition=0, promptTokens=512, promptTokensProcessed=128)
    expect(chat.get_by_text("Reading the prompt: 128 of 512 tokens")).to_be_visible()
    expect(chat.get_by_role("progressbar")).to_have_attribute("value", "128")
    command.set(promptTokensProcessed=512)
    expect(chat.get_by_text("Thinking")).to_be_visible()
    command.append("There")
    command.set(completionTokens=1)
    expect(chat.get_by_text("Writing")).to_be_visible()
    command.finish("length")
    expect(chat.locator(".lc-summary")).to_have_text("Stopped at the token limit · 1 token")


def test_the_options_are_sent(chat: FrameLocator, stand_in: StandIn) -> None:
    chat.get_by_text("Options").click()
    chat.get_by_label("System prompt").fill("Be brief.")
    chat.get_by_label("Max tokens").fill("64")
    chat.get_by_label("Temperature").fill("0")
    command = ask(chat, stand_in, "Hello")
    assert command.params == {
        "prompt": "Hello",
        "system_prompt": "Be brief.",
        "max_tokens": "64",
        "temperature": "0",
    }


def test_a_failure_is_said_and_keeps_the_partial_reply(
    chat: FrameLocator, stand_in: StandIn
) -> None:
    command = ask(chat, stand_in)
    command.append("It began well")
    expect(chat.locator(".lc-body")).to_have_text("It began well")
    command.fail("The module ended unexpectedly (exit code -9).")
    expect(chat.get_by_role("alert")).to_have_text("The module ended unexpectedly (exit code -9).")
    expect(chat.locator(".lc-body")).to_have_text("It began well")
    chat.get_by_role("button", name="Ask again").click()
    assert stand_in.next_command().params["prompt"] == "What can you do?"


def test_a_refused_start_says_why(chat: FrameLocator, stand_in: StandIn) -> None:
    stand_in.refusal = (503, "LlamaChat is not running: no model file in ./models.")
    box = chat.get_by_label("Your question")
    box.fill("Hello")
    box.press("Enter")
    expect(chat.get_by_role("alert")).to_have_text(stand_in.refusal[1])
    expect(chat.get_by_role("button", name="Send")).to_be_visible()


def test_a_lost_connection_is_said_and_the_same_command_goes_on(
    chat: FrameLocator, stand_in: StandIn
) -> None:
    command = ask(chat, stand_in)
    command.append("Before")
    expect(chat.locator(".lc-body")).to_have_text("Before")
    stand_in.is_unreachable = True
    command.append(" and")  # ends the poll that still waits
    expect(chat.get_by_text("The connection to the host is lost")).to_be_visible()
    stand_in.is_unreachable = False
    command.append(" after")
    expect(chat.locator(".lc-body")).to_have_text("Before and after")
    command.finish()
    expect(chat.locator(".lc-summary")).to_have_text("Complete")
    assert not stand_in.has_command


def test_a_stop_that_got_lost_is_sent_again(chat: FrameLocator, stand_in: StandIn) -> None:
    command = ask(chat, stand_in)
    command.append("On and on")
    expect(chat.locator(".lc-body")).to_have_text("On and on")
    stand_in.is_unreachable = True
    chat.get_by_role("button", name="Stop").click()
    expect(chat.get_by_text("The stop did not reach the host")).to_be_visible()
    assert not command.is_cancelled
    stand_in.is_unreachable = False
    expect(chat.locator(".lc-summary")).to_have_text("Stopped")
    assert command.is_cancelled


def test_a_forgotten_command_ends_with_the_reason(chat: FrameLocator, stand_in: StandIn) -> None:
    command = ask(chat, stand_in)
    command.append("Half")
    expect(chat.locator(".lc-body")).to_have_text("Half")
    stand_in.forget_commands()
    command.append(" more")
    expect(chat.get_by_role("alert")).to_have_text("The host knows no such command.")
    expect(chat.get_by_role("button", name="Send")).to_be_visible()


def test_the_reply_can_be_copied(page: Page, chat: FrameLocator, stand_in: StandIn) -> None:
    command = ask(chat, stand_in)
    command.append("Copy *me*")
    command.finish()
    chat.get_by_role("button", name="Copy").click()
    expect(chat.get_by_role("button", name="Copied")).to_be_visible()
    box = chat.get_by_label("Your question")
    box.press("Control+V")
    expect(box).to_have_value("Copy *me*")


def test_a_reply_goes_on_while_another_module_is_looked_at(
    page: Page, chat: FrameLocator, stand_in: StandIn
) -> None:
    command = ask(chat, stand_in)
    page.locator(".module", has_text="Published").click()
    expect(page.locator('iframe[title="LlamaChat"]')).to_be_hidden()
    command.append("Written meanwhile")
    command.finish()
    page.locator(".module", has_text="LlamaChat").click()
    expect(chat.locator(".lc-body")).to_have_text("Written meanwhile")


HOSTILE_REPLY = """<img src=x onerror=alert(1)>

![x](x"onerror="alert(1)) [one](javascript:alert(1)) [two](JaVaScRiPt:alert(1))
[three](data:text/html,<script>alert(1)</script>) <script>alert(1)</script>
<a href="javascript:alert(1)">four</a> <svg onload=alert(1)></svg>

```html" onmouseover="alert(1)
</code></pre><script>alert(1)</script>
```
"""


def test_markup_in_a_reply_is_shown_and_not_run(chat: FrameLocator, stand_in: StandIn) -> None:
    command = ask(chat, stand_in, "<script>alert(1)</script>")
    for at in range(0, len(HOSTILE_REPLY), 40):
        command.append(HOSTILE_REPLY[at : at + 40])
    command.finish()
    expect(chat.locator(".lc-summary")).to_be_visible()
    body = chat.locator(".lc-body")
    expect(body).to_contain_text("<img src=x onerror=alert(1)>")
    expect(body.locator("pre")).to_contain_text("</code></pre><script>alert(1)</script>")
    expect(body.locator("img, script, svg, iframe, [onerror], [onmouseover]")).to_have_count(0)
    links = body.locator("a[href]").evaluate_all("links => links.map((link) => link.href)")
    assert [link for link in links if not link.startswith("http")] == []
    expect(chat.locator("#results")).to_be_hidden()  # where an alert's text would have gone


def test_finished_blocks_are_sent_and_shown_once(chat: FrameLocator, stand_in: StandIn) -> None:
    command = ask(chat, stand_in)
    first = chat.locator(".lc-body > h2")
    command.append("## One\n\n- a\n- b")
    expect(chat.locator(".lc-body li")).to_have_count(2)
    command.append("\n\nTwo *three*")
    expect(chat.locator(".lc-body em")).to_have_text("three")
    first.evaluate("element => { element.isTheSame = true; }")
    command.append("\n\n| x | y |\n|---|---|\n| 1 | 2 |")
    expect(chat.locator(".lc-body td")).to_have_count(2)
    command.append(" \n\nThe 😀 end")
    command.finish()
    expect(chat.locator(".lc-body > :last-child")).to_have_text("The 😀 end")
    assert first.evaluate("element => element.isTheSame"), "it was not put there again"
    names = chat.locator(".lc-body > *").evaluate_all("all => all.map((one) => one.localName)")
    assert names == ["h2", "ul", "p", "table", "p"]
    assert all("One" not in text for text in stand_in.rendered[2:])
    assert stand_in.rendered[-1].startswith("| x | y |"), "the line after it was not complete"


def test_a_link_that_is_defined_at_the_end_becomes_one(
    chat: FrameLocator, stand_in: StandIn
) -> None:
    command = ask(chat, stand_in)
    command.append("See [here][1].\n\nMore.\n\n")
    expect(chat.locator(".lc-body p")).to_have_count(2)
    command.append("[1]: https://example.test/\n")
    command.finish()
    expect(chat.locator(".lc-body a")).to_have_text("here")


def test_while_the_host_is_busy_the_reply_is_plain_text(
    chat: FrameLocator, stand_in: StandIn
) -> None:
    command = ask(chat, stand_in)
    command.append("One\n\n*two*\n")
    expect(chat.locator(".lc-body em")).to_have_text("two")
    stand_in.is_rendering_busy = True
    command.append("\n*three*")
    expect(chat.locator(".lc-body > .lc-plain")).to_have_text("*two*\n\n*three*")
    command.finish()
    stand_in.is_rendering_busy = False
    expect(chat.locator(".lc-body em")).to_have_text(["two", "three"])
    expect(chat.locator(".lc-body > .lc-plain")).to_have_count(0)


@pytest.mark.parametrize("is_part_1", [False, True])
def test_in_a_page_of_the_field_the_reply_is_plain_text(
    page: Page, stand_in: StandIn, is_part_1: bool
) -> None:
    stand_in.is_part_1 = is_part_1
    page.goto(f"{stand_in.base_url}/field")
    box = page.get_by_label("Your question")
    box.fill("Hello")
    box.press("Enter")
    command = stand_in.next_command()
    command.append("Some **text**")
    expect(page.locator(".lc-body")).to_have_text("Some **text**")
    command.append("\n<img src=x onerror=alert(1)>")
    expect(page.locator(".lc-body")).to_contain_text("<img src=x onerror=alert(1)>")
    command.finish(processMs=1000)
    expect(page.locator(".lc-summary")).to_have_text("Complete · 1.0 s")


def test_a_host_that_waits_is_not_asked_all_the_time(
    page: Page, chat: FrameLocator, stand_in: StandIn
) -> None:
    command = ask(chat, stand_in)
    command.append("Word")
    expect(chat.locator(".lc-body")).to_have_text("Word")
    polls = command.polls
    page.wait_for_timeout(1500)
    assert command.polls <= polls + 1


def test_a_waiting_command_says_when_it_will_start(chat: FrameLocator, stand_in: StandIn) -> None:
    command = ask(chat, stand_in)
    command.set(state="queued", queuePosition=3, estimatedStartMs=12_300)
    expect(chat.get_by_text("Waiting: 3 commands are ahead, about 13 s")).to_be_visible()
    command.set(queuePosition=1, estimatedStartMs=None)
    expect(chat.get_by_text("Waiting: 1 command is ahead", exact=True)).to_be_visible()


def test_a_full_queue_is_asked_again_when_it_said(chat: FrameLocator, stand_in: StandIn) -> None:
    stand_in.refusal = (429, "module LlamaChat has 1000 commands waiting, and takes no more")
    stand_in.refusal_fields = {"retryAfterMs": 1500}
    box = chat.get_by_label("Your question")
    box.fill("Hello")
    box.press("Enter")
    expect(chat.get_by_text("Too many are waiting. Asking again in 2 s")).to_be_visible()
    stand_in.refusal = None
    stand_in.next_command().append("Here I am")
    expect(chat.locator(".lc-body")).to_have_text("Here I am")


def test_asking_again_can_be_stopped(chat: FrameLocator, stand_in: StandIn) -> None:
    stand_in.refusal = (503, "the store is not available now")
    stand_in.refusal_fields = {"retryAfterMs": 60_000}
    box = chat.get_by_label("Your question")
    box.fill("Hello")
    box.press("Enter")
    expect(chat.get_by_text("The host cannot take it just now. Asking again in")).to_be_visible()
    chat.get_by_role("button", name="Stop").click()
    expect(chat.locator(".lc-summary")).to_have_text("Stopped before it began")
    expect(chat.get_by_role("button", name="Send")).to_be_visible()
    assert not stand_in.has_command


def test_a_module_that_is_tried_again_later_says_why_and_when(
    chat: FrameLocator, stand_in: StandIn
) -> None:
    why = "module LlamaChat is not running, and is tried again in 2 s: no memory left"
    stand_in.refusal = (503, why)
    stand_in.refusal_fields = {"retryAfterMs": 1500}
    box = chat.get_by_label("Your question")
    box.fill("Hello")
    box.press("Enter")
    expect(chat.get_by_text("Asking again in 2 s")).to_be_visible()
    expect(chat.get_by_role("alert")).to_have_text(why)
    stand_in.refusal = None
    stand_in.next_command().append("Here I am")
    expect(chat.locator(".lc-body")).to_have_text("Here I am")
    expect(chat.locator(".lc-error")).to_be_empty()
