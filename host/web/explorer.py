"""The explorer: the host's own page, and each module's fragment in a sandboxed document.

Invariant: nothing that comes from a module (its id, its fragment) is ever part of a document that
has the host's origin. A fragment's document carries a policy that makes its origin opaque and its
network empty even when somebody opens its address directly; what it may do, it asks of the page
around it (pages/fragment_host.js).
"""

import asyncio
import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from host.web.bodies import utf8_text
from host.web.doors import Doors
from host.web.errors import RequestRefused
from host.web.json_texts import parsed_json
from host.web.uploads import read_body

from .markdown import MAX_TEXT_CHARS
from .rendering import BUSY_MS, MarkdownRenderer, NotRendered

PAGES_PATH = Path(__file__).parent / "pages"
FRAGMENT_PATH = "/explorer/fragment/"

# Spelled out: the system's own table of types calls .js text/plain on some Windows machines.
_CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILE_NAME = re.compile(r"[a-z_]+(\.css|\.js|\.svg)", re.ASCII)
_COMMON_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
# Published fragments use inline scripts and handlers: allowed, as they could reach nothing.
_FRAGMENT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; font-src data:; "
    "connect-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src {frames}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_PLAIN_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?\Z", re.ASCII)
_MAX_MARKDOWN_BYTES = 6 * MAX_TEXT_CHARS + 1000  # JSON may spell a character as \uXXXX


@dataclass(frozen=True)
class ModulePage:
    """What the explorer needs to know of a module: its folder holds `explore.html`, or does not.

    `routes` are the routes (without `/v1/`) that the module's fragment may post to.
    """

    module_id: str
    name: str
    path: Path
    routes: Sequence[str]


@dataclass(frozen=True)
class Fragment:
    """The three marked parts of an `explore.html`; a part that is not there is empty."""

    html: str
    css: str
    script: str


def parse_fragment(text: str, module_id: str) -> Fragment:
    """Cut the marked parts out of an `explore.html`, `_MID_` made the module's own prefix.

    A marker is taken only on a line of its own, so that prose about markers is not one.
    """
    text = text.replace("_MID_", f"{module_id}_")
    return Fragment(
        html=_cut(text, "MARKUP", "<!--", "-->"),
        css=_cut(text, "STYLE", "/*", "*/"),
        script=_cut(text, "SCRIPT", "//", ""),
    )


def _cut(text: str, part: str, opening: str, closing: str) -> str:
    def marker(edge: str) -> str:
        words = rf"{edge}\s+EXPLORER\s+{part}"
        return rf"^[ \t]*{re.escape(opening)}[ \t]*{words}[ \t]*{re.escape(closing)}[ \t]*\r?$"

    found = re.search(f"{marker('START')}(.*?){marker('END')}", text, re.DOTALL | re.MULTILINE)
    return found[1].strip() if found else ""


def read_fragment(page: ModulePage) -> Fragment | None:
    """Read a module's fragment from its folder; None where it has none that could be read."""
    try:
        text = (page.path / "explore.html").read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None
    return parse_fragment(text, page.module_id)


def build_fragment_document(page: ModulePage, fragment: Fragment, theme: str) -> str:
    """One fragment as a whole document: base style, bridge, then the fragment's own parts.

    The fragment's style comes before its script: a script that measures elements measures styled
    ones.
    """
    style = _read_page("theme.css") + _read_page("fragment.css")
    return f"""<!doctype html>
<html lang="en" data-theme="{html.escape(theme)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(page.name)}</title>
<style>{style}</style>
<style>{fragment.css}</style>
<script>{_read_page("fragment_bridge.js")}</script>
</head>
<body>
<div id="explorer-root">
<div id="explorer-fragment">
{fragment.html}
</div>
<div id="results" class="results" role="status" hidden></div>
</div>
<script>
{fragment.script}
</script>
</body>
</html>
"""


def _read_page(name: str) -> str:
    return (PAGES_PATH / name).read_text(encoding="utf-8")


def add_explorer_routes(
    app: web.Application,
    routes: Doors | web.UrlDispatcher,
    modules: Callable[[], Sequence[ModulePage]],
    renderer: MarkdownRenderer | None = None,
) -> None:
    """Add the page, its files, the fragments and the page's own services.

    `modules` is asked at each request, so that a module that comes or goes needs no restart.
    `renderer` makes HTML of Markdown.
    """
    renderer = renderer or MarkdownRenderer()
    explorer = _Explorer(modules, renderer)
    routes.add_get("/", explorer.show_page)
    routes.add_get("/pages/{name}", explorer.send_file)
    routes.add_get(FRAGMENT_PATH + "{module_id}", explorer.show_fragment)
    routes.add_get("/v1/module/list/explorer-html", explorer.list_fragments)
    routes.add_post("/v1/explorer/markdown", explorer.convert_markdown)
    app.on_cleanup.append(lambda _: renderer.close())


class _Explorer:
    def __init__(
        self, modules: Callable[[], Sequence[ModulePage]], renderer: MarkdownRenderer
    ) -> None:
        self._modules = modules
        self._renderer = renderer

    async def show_page(self, request: web.Request) -> web.StreamResponse:
        headers = _COMMON_HEADERS | {
            "Content-Security-Policy": _PAGE_POLICY.format(frames=_frame_sources(request.host)),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Content-Type": "text/html; charset=utf-8",
        }
        return web.FileResponse(PAGES_PATH / "explorer.html", headers=headers)

    async def send_file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        shape = _FILE_NAME.fullmatch(name)
        if shape is None or not (PAGES_PATH / name).is_file():
            return _refuse(404, f"There is no page file called {name!r}.")
        content_type = _CONTENT_TYPES[shape[1]]
        headers = _COMMON_HEADERS | {"Content-Type": f"{content_type}; charset=utf-8"}
        return web.FileResponse(PAGES_PATH / name, headers=headers)

    async def show_fragment(self, request: web.Request) -> web.StreamResponse:
        wanted = request.match_info["module_id"]
        page = next((p for p in self._modules() if p.module_id.lower() == wanted.lower()), None)
        if page is None:
            return _refuse(404, f"There is no module called {wanted!r}.")
        fragment = await asyncio.to_thread(read_fragment, page)
        if fragment is None:
            return _refuse(404, f"Module {page.module_id} has no readable explore.html.")
        theme = "dark" if request.query.get("theme") == "dark" else "light"
        document = await asyncio.to_thread(build_fragment_document, page, fragment, theme)
        headers = _COMMON_HEADERS | {
            "Content-Security-Policy": _FRAGMENT_POLICY,
            "Connection-Allowlist": "()",  # nothing by WebRTC either, where a browser knows it
            "X-DNS-Prefetch-Control": "off",
        }
        return web.Response(text=document, content_type="text/html", headers=headers)

    async def list_fragments(self, request: web.Request) -> web.StreamResponse:
        pages = list(self._modules())
        fragments = await asyncio.to_thread(lambda: [read_fragment(page) for page in pages])
        insertions = [
            _describe(page, fragment)
            for page, fragment in zip(pages, fragments, strict=True)
            if fragment is not None
        ]
        return web.json_response({"success": True, "uiInsertions": insertions})

    async def convert_markdown(self, request: web.Request) -> web.StreamResponse:
        if (request.content_length or 0) > _MAX_MARKDOWN_BYTES:
            return _refuse(413, f"The text may have {MAX_TEXT_CHARS} characters at most.")
        try:
            raw = await read_body(request, _MAX_MARKDOWN_BYTES)
            body = parsed_json(utf8_text(raw), "body")
        except RequestRefused as refused:
            error = f'Expected a JSON object {{"text": "..."}}: {refused.error}'
            return _refuse(refused.status, error)
        text = body.get("text") if isinstance(body, dict) else None
        if not isinstance(text, str):
            return _refuse(400, f'Expected a JSON object with a string "text", got {body!r:.80}')
        if len(text) > MAX_TEXT_CHARS:
            return _refuse(413, f"The text may have {MAX_TEXT_CHARS} characters at most.")
        try:
            rendered = await self._renderer.render(text, is_growing=body.get("isGrowing") is True)
        except NotRendered as error:
            return _not_rendered(error)
        return web.Response(body=rendered, content_type="application/json", charset="utf-8")


def _describe(page: ModulePage, fragment: Fragment) -> dict[str, Any]:
    return {
        "moduleId": page.module_id,
        "name": page.name,
        "html": fragment.html,
        "css": fragment.css,
        "script": fragment.script,
        "routes": list(page.routes),
        "fragmentUrl": FRAGMENT_PATH + quote(page.module_id, safe=""),
    }


def _frame_sources(host: str) -> str:
    """Where the page's frames may go: fragments, so a frame that navigates itself gets nowhere.

    A policy can't spell every host (an IPv6 address, for one): those get the whole origin.
    """
    return f"{host}{FRAGMENT_PATH}" if _PLAIN_HOST.match(host) else "'self'"


def _not_rendered(error: NotRendered) -> web.Response:
    if not error.is_for_now:
        return _refuse(413, str(error))
    body = {"success": False, "error": str(error), "code": 503, "retryAfterMs": BUSY_MS}
    return web.json_response(body, status=503, headers={**_COMMON_HEADERS, "Retry-After": "1"})


def _refuse(status: int, error: str) -> web.Response:
    body = {"success": False, "error": error, "code": status}
    return web.json_response(body, status=status, headers=_COMMON_HEADERS)
