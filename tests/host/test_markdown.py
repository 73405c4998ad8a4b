"""Markdown comes out as the HTML it means, and never as anything that could run or load."""

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.web.markdown import MAX_TEXT_CHARS, render_growing, render_markdown

HARMLESS_ATTRIBUTES = {"href", "title", "rel", "class", "start", "style"}
HARMLESS_TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "code"),
    *("strong", "em", "s", "ul", "ol", "li", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


class Collector(HTMLParser):
    """The tags, with their attributes, that a browser would find."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def assert_harmless(html: str) -> None:
    for tag, attributes in Collector(html).tags:
        assert tag in HARMLESS_TAGS
        assert set(attributes) <= HARMLESS_ATTRIBUTES
        href = (attributes.get("href") or "").lower()
        assert href.startswith(("http://", "https://", "mailto:")) or href == ""
        assert (attributes.get("style") or "text-align:").startswith("text-align:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Title", "<h1>Title</h1>"),
        ("one\n\ntwo", "<p>one</p>\n<p>two</p>"),
        ("**b** *i* ~~s~~ `c`", "<p><strong>b</strong> <em>i</em> <s>s</s> <code>c</code></p>"),
        ("3. x", '<ol start="3">\n<li>x</li>\n</ol>'),
        ("```py\nif a < b:\n```", '<pre><code class="language-py">if a &lt; b:\n</code></pre>'),
        ("```\nstill open", "<pre><code>still open</code></pre>"),
        ("> q", "<blockquote>\n<p>q</p>\n</blockquote>"),
    ],
)
def test_markdown_means_what_it_says(text: str, expected: str) -> None:
    assert render_markdown(text).strip() == expected


def test_tables_keep_their_alignment() -> None:
    html = render_markdown("| a | b |\n|:--|--:|\n| 1 | 2 |")
    assert '<th style="text-align:left">a</th>' in html
    assert '<td style="text-align:right">2</td>' in html


def test_links_carry_rel_and_a_safe_address() -> None:
    html = render_markdown("[x](https://example.test/?a=1&b=2 'why')")
    assert html.strip() == (
        '<p><a href="https://example.test/?a=1&amp;b=2" title="why" '
        'rel="noopener noreferrer nofollow">x</a></p>'
    )


def test_an_image_becomes_a_link() -> None:
    html = render_markdown('![a <b>](https://example.test/x.png"onerror="alert(1))')
    assert_harmless(html)
    assert [tag for tag, _ in Collector(html).tags] == ["p", "a"]


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=alert(1)>",
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt&colon;alert(1))",
        "[x](\x01javascript:alert(1))",
        "[x](vbscript:x) [y](data:text/html,x) [z](file:///etc/passwd)",
        "[x](/v1/queue/llamachat_queue) [y](//example.test)",
        "<javascript:alert(1)>",
        "![x](javascript:alert(1))",
        '```x" onmouseover="alert(1)\n</code></pre><script>alert(1)</script>\n```',
        '| a |\n|---|\n| <td style="position:fixed"> |',
        "<!-- --><svg onload=alert(1)>",
        "[x]: javascript:alert(1)\n\n[x]",
        "a \x00 b \ud800 c",
    ],
)
def test_hostile_text_is_harmless(text: str) -> None:
    assert_harmless(render_markdown(text))


@given(
    st.text(
        alphabet=st.sampled_from("<>\"'&=/ \n\t`*_[]()!#|-:.;x1javascriptonerrorimg"), max_size=300
    )
)
def test_any_text_is_harmless(text: str) -> None:
    assert_harmless(render_markdown(text))


@pytest.mark.parametrize("part", ["[", "![", "[a](", "*a ", "> ", "- ", "`", "|a", "<a "])
def test_the_longest_text_is_rendered_in_bounded_time(part: str) -> None:
    text = (part * MAX_TEXT_CHARS)[:MAX_TEXT_CHARS]
    start_s = time.process_time()
    assert_harmless(render_markdown(text))
    assert time.process_time() - start_s < 20


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("one", ""),
        ("one\n\ntwo", ""),
        ("one\n\ntwo\n", "one\n\n"),
        ("one\r\n\r\n```\ncode", "one\r\n\r\n"),
        ("- a\n- b\n\n  c\n", ""),
        ("- a\n\ntext\n\n1. x\n2. y\n", "- a\n\ntext\n\n"),
        ("text\n---", ""),
        ("text\n|a|\n|-|", ""),
        ("text\n|a|\n|-|\n", "text\n"),
        ("😀\n\n# x\n", "😀\n\n"),
    ],
)
def test_all_but_the_open_block_is_settled(text: str, settled: str) -> None:
    growing = render_growing(text)
    assert text[: growing.settled_chars] == settled
    assert growing.settled == (render_markdown(settled) if settled else "")
    assert growing.settled + growing.rest == render_markdown(text)


_PARTS = [
    *("a", "b ", "\n", "\n\n", "- ", "1. ", "2. ", "# ", "> ", "```", "\n```\n", "    ", "  "),
    *("---", "\t", "*", "**", "`", "===", "\\", "~~", "+ ", "[a]", "(b)", "<b>", "\r\n", "\r"),
    *("!", "&amp;", "|", "|-|", "\n|a|b\n|-|-|\n", "\n- a\n", "\n  b"),
]


@given(st.lists(st.sampled_from(_PARTS), max_size=40), st.lists(st.floats(0, 1), max_size=12))
def test_a_text_that_grew_is_what_it_is_at_once(parts: list[str], looks: list[float]) -> None:
    text = "".join(parts)
    shown, chars, rest = "", 0, ""
    for end in sorted(int(look * len(text)) for look in [*looks, 1.0]):
        shown_now, rest, settled = render_growing(text[chars:end])
        shown, chars = shown + shown_now, chars + settled
    assert shown + rest == render_markdown(text)
