"""The explorer's routes: which documents they give, under which policies, and what they refuse."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from host.web.explorer import PAGES_PATH, ModulePage, add_explorer_routes, parse_fragment
from host.web.markdown import MAX_TEXT_CHARS

Client = TestClient[web.Request, web.Application]

EXPLORE_HTML = """\
<!-- The marked parts: START EXPLORER MARKUP / END EXPLORER MARKUP, and so on. -->
<style>
/* START EXPLORER STYLE */
#_MID_box { color: red; }
/* END EXPLORER STYLE */
</style>
    <!-- START EXPLORER MARKUP -->
    <p id="_MID_box">Grüße</p>
    <!-- END EXPLORER MARKUP -->
<script>
  // START EXPLORER SCRIPT
  _MID_box.onclick = () => submitRequest("text", "chat", null, []);
  // END EXPLORER SCRIPT
</script>
"""


@pytest.fixture
def pages(tmp_path: Path) -> list[ModulePage]:
    (tmp_path / "Chat").mkdir()
    (tmp_path / "Chat" / "explore.html").write_text(EXPLORE_HTML, encoding="utf-8-sig")
    (tmp_path / "Bare").mkdir()
    return [
        ModulePage("Chat", "Chat <1>", tmp_path / "Chat", ("text/chat",)),
        ModulePage("Bare", "Bare", tmp_path / "Bare", ()),
    ]


@pytest.fixture
async def client(pages: list[ModulePage]) -> AsyncIterator[Client]:
    app = web.Application()
    add_explorer_routes(app, app.router, lambda: pages)
    async with TestClient(TestServer(app)) as client:
        yield client


def test_the_three_parts_are_cut_out() -> None:
    fragment = parse_fragment(EXPLORE_HTML, "Chat")
    assert fragment.css == "#Chat_box { color: red; }"
    assert fragment.html == '<p id="Chat_box">Grüße</p>'
    assert fragment.script == 'Chat_box.onclick = () => submitRequest("text", "chat", null, []);'


def test_markers_may_be_spaced_and_lines_may_end_the_windows_way() -> None:
    text = "<!--START  EXPLORER MARKUP-->\n<b>x</b>\n\t<!--  END EXPLORER MARKUP  -->"
    assert parse_fragment(text.replace("\n", "\r\n"), "M").html == "<b>x</b>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- START EXPLORER MARKUP -->\n<b>x</b>",
        "<b>x</b>\n<!-- END EXPLORER MARKUP -->",
        "say <!-- START EXPLORER MARKUP -->\n<b>x</b>\n<!-- END EXPLORER MARKUP -->",
    ],
)
def test_a_part_without_both_its_markers_is_empty(text: str) -> None:
    assert parse_fragment(text, "M").html == ""


def test_the_first_pair_of_markers_counts() -> None:
    part = "// START EXPLORER SCRIPT\n{}\n// END EXPLORER SCRIPT\n"
    assert parse_fragment(part.format("one") + part.format("two"), "M").script == "one"


def test_the_chat_modules_fragment_has_all_its_parts() -> None:
    path = Path(__file__).parents[2] / "modules" / "LlamaChat" / "explore.html"
    fragment = parse_fragment(path.read_text(encoding="utf-8"), "LlamaChat")
    assert "LlamaChat_prompt" in fragment.html
    assert "get_command_status" in fragment.script
    assert ".lc-chat" in fragment.css
    assert "_MID_" not in fragment.html + fragment.script + fragment.css


async def test_the_page_allows_no_inline_script_and_no_foreign_frame(client: Client) -> None:
    async with client.get("/") as reply:
        policy = reply.headers["Content-Security-Policy"]
        text = await reply.text()
    assert reply.status == 200
    assert reply.content_type == "text/html"
    assert "script-src 'self';" in policy
    assert "unsafe-inline" not in policy
    assert f"frame-src 127.0.0.1:{client.port}/explorer/fragment/;" in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert "onclick" not in text
    assert "<script>" not in text
    assert "style=" not in text


async def test_a_host_name_that_a_policy_cannot_spell_does_not_get_into_it(client: Client) -> None:
    async with client.get("/", headers={"Host": "a; script-src *"}) as reply:
        assert "frame-src 'self';" in reply.headers["Content-Security-Policy"]
    async with client.get("/", headers={"Host": "[::1]:32168"}) as reply:
        assert "frame-src 'self';" in reply.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("explorer.js", "text/javascript"),
        ("explorer.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
    ],
)
async def test_page_files_have_their_types(client: Client, name: str, content_type: str) -> None:
    async with client.get(f"/pages/{name}") as reply:
        assert reply.status == 200
        assert reply.content_type == content_type
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_every_file_that_the_page_names_is_there(client: Client) -> None:
    text = (PAGES_PATH / "explorer.html").read_text(encoding="utf-8")
    names = {part.split('"')[0] for part in text.split('"/pages/')[1:]}
    assert names
    for name in names:
        async with client.get(f"/pages/{name}") as reply:
            assert reply.status == 200


@pytest.mark.parametrize(
    "name", ["explorer.html", "none.js", "..%2fexplorer.py", "%2e%2e%2fmarkdown.py", "a%00.js"]
)
async def test_nothing_else_is_served(client: Client, name: str) -> None:
    async with client.get(f"/pages/{name}") as reply:
        assert reply.status == 404


async def test_a_fragment_is_a_sandboxed_document(client: Client) -> None:
    async with client.get("/explorer/fragment/chat?theme=dark") as reply:
        policy = reply.headers["Content-Security-Policy"]
        text = await reply.text()
    assert reply.status == 200
    assert "sandbox allow-scripts;" in policy
    assert "allow-same-origin" not in policy
    assert "connect-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert reply.headers["Connection-Allowlist"] == "()"
    assert 'data-theme="dark"' in text
    assert "<title>Chat &lt;1&gt;</title>" in text
    order = [
        text.index(part) for part in ("color: red", "window.submitRequest =", "Grüße", ".onclick")
    ]
    assert order == sorted(order)


async def test_an_unknown_theme_is_light(client: Client) -> None:
    async with client.get('/explorer/fragment/Chat?theme="><script>') as reply:
        assert 'data-theme="light"' in await reply.text()


@pytest.mark.parametrize("module_id", ["None", "Bare", "..%2fChat"])
async def test_no_fragment_no_document(client: Client, module_id: str) -> None:
    async with client.get(f"/explorer/fragment/{module_id}") as reply:
        body = await reply.json()
    assert reply.status == body["code"] == 404
    assert body["success"] is False
    assert body["error"]


async def test_the_list_has_the_modules_that_have_a_page(client: Client) -> None:
    async with client.get("/v1/module/list/explorer-html") as reply:
        body = await reply.json()
    assert body["success"] is True
    [insertion] = body["uiInsertions"]
    assert insertion["moduleId"] == "Chat"
    assert insertion["name"] == "Chat <1>"
    assert insertion["routes"] == ["text/chat"]
    assert insertion["fragmentUrl"] == "/explorer/fragment/Chat"
    assert "Chat_box" in insertion["html"]
    assert "Chat_box" in insertion["css"]
    assert "Chat_box" in insertion["script"]


async def test_markdown_is_rendered(client: Client) -> None:
    async with client.post("/v1/explorer/markdown", json={"text": "*a* <b>"}) as reply:
        assert await reply.json() == {"success": True, "html": "<p><em>a</em> &lt;b&gt;</p>\n"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[]", b"{}", b'{"text": 3}', b'{"text": null}', b"[" * 100_000],
)
async def test_markdown_that_is_no_text_is_refused(client: Client, body: bytes) -> None:
    async with client.post("/v1/explorer/markdown", data=body) as reply:
        answer = await reply.json()
    assert reply.status == answer["code"] == 400
    assert "text" in answer["error"]


async def test_markdown_that_is_too_long_is_refused(client: Client) -> None:
    for text in ("x" * (MAX_TEXT_CHARS + 1), "x" * (7 * MAX_TEXT_CHARS)):
        async with client.post("/v1/explorer/markdown", json={"text": text}) as reply:
            answer = json.loads(await reply.text())
        assert reply.status == answer["code"] == 413
        assert str(MAX_TEXT_CHARS) in answer["error"]
