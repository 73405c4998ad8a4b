"""Markdown to HTML that is safe to put into a page.

Invariant: what `render_markdown` returns contains only the tags and attributes listed here, no
matter what the text was. The parser already passes no raw HTML through; the sanitizer behind it
does not rely on that.
"""

import re
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

MAX_TEXT_CHARS = 100_000  # worst-case input of this size takes about a second

_LINE_END = re.compile(r"\r\n?|\n")  # as the parser has them
_TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "code"),
    *("strong", "em", "s", "ul", "ol", "li", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "code": {"class"},
    "ol": {"start"},
    "th": {"style"},
    "td": {"style"},
}
_VALUE_SHAPES = {
    "href": re.compile(r"(https?://|mailto:)", re.IGNORECASE),
    "class": re.compile(r"language-[\w+#.-]{1,32}\Z", re.ASCII),
    "start": re.compile(r"[0-9]{1,9}\Z", re.ASCII),
}


def render_markdown(text: str) -> str:
    """Return `text` (CommonMark with tables and strikethrough) as sanitized HTML.

    Raw HTML in the text comes out as visible text. Images become links, because a page that loads
    an image from an address in a model's reply tells that address what was read. Links keep http,
    https and mailto addresses only.
    """
    return "".join(render_growing(text)[:2])


class Growing(NamedTuple):
    """A text that grows, as HTML in two parts: what more text will not change, and the rest.

    `settled_chars` is how much of the text the first part is. A definition of a link, such as
    `[name]: address`, that comes later is not seen by what is settled.
    """

    settled: str
    rest: str
    settled_chars: int


def render_growing(text: str) -> Growing:
    """Render a text of which more may come. Its last block is open, and all before that is settled;
    a block that begins in a line which is not complete yet may still become part of the one before.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")  # a half of a surrogate pair is no text
    parser = _parser()
    env: dict[str, Any] = {}
    tokens = parser.parse(text, env)
    cut, chars = _open_block(text, tokens)
    settled, rest = (
        _sanitized(parser.renderer.render(part, parser.options, env))
        for part in (tokens[:cut], tokens[cut:])
    )
    return Growing(settled, rest, chars)


def _open_block(text: str, tokens: Sequence[Token]) -> tuple[int, int]:
    """Where the open block begins: its token, and its place in the text."""
    ends = [found.end() for found in _LINE_END.finditer(text)]
    blocks = [
        (index, token.map[0])
        for index, token in enumerate(tokens)
        if token.level == 0 and token.nesting >= 0 and token.map and _is_sure(token, len(ends))
    ]
    if not blocks or blocks[-1][1] == 0:
        return 0, 0
    index, line = blocks[-1]
    return index, ends[line - 1]


def _is_sure(token: Token, complete_lines: int) -> bool:
    """More text does not change what began there: what tells a table is its second line."""
    assert token.map is not None  # noqa: S101
    return token.map[0] + (token.type == "table_open") < complete_lines


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False})
    parser.enable(["table", "strikethrough"])
    parser.add_render_rule("image", _render_image_as_link)
    return parser


def _sanitized(html: str) -> str:
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_keep_attribute,
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto"},
        filter_style_properties={"text-align"},
    )


def _keep_attribute(tag: str, attribute: str, value: str) -> str | None:
    shape = _VALUE_SHAPES.get(attribute)
    return value if shape is None or shape.match(value) else None


def _render_image_as_link(
    self: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    token = tokens[index]
    address = escapeHtml(str(token.attrs.get("src", "")))
    label = self.renderInlineAsText(token.children, options, env) or "image"
    return f'<a href="{address}">{escapeHtml(label)}</a>'
