"""Markdown to HTML that is safe to put into a page.

Invariant: what `render_markdown` returns contains only the tags and attributes listed here, no
matter what the text was. The parser already passes no raw HTML through; the sanitizer behind it
does not rely on that.
"""

import re
from collections.abc import MutableMapping, Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

MAX_TEXT_CHARS = 100_000  # worst-case input of this size takes about a second

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
    text = text.encode("utf-8", "replace").decode("utf-8")  # a half of a surrogate pair is no text
    parser = MarkdownIt("commonmark", {"html": False})
    parser.enable(["table", "strikethrough"])
    parser.add_render_rule("image", _render_image_as_link)
    return nh3.clean(
        parser.render(text),
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
