"""Fragments for the browser tests: one in the style published in the field, and a hostile one."""

# Written in the field's habits: inline handlers, ids as globals, a `let` named like one of our own
# functions, a script from elsewhere, polling every 250 ms, a string method on `reply`, prompts put
# into the page as they are.
PUBLISHED_HTML = """
<script src="https://cdn.example.test/marked.min.js"></script>
<div class="form-group row mt-1">
  <label class="col-3 col-form-label text-end">Question</label>
  <input class="form-control" id="_MID_promptText" type="text" value="What is this?">
</div>
<div class="input-group mt-1">
  <input class="btn btn-info btn-sm" type="button" value="Send" id="_MID_queryBtn"
         onclick="_MID_onAsk(_MID_promptText.value)">
  <input class="btn btn-warning btn-sm" type="button" value="Stop" id="_MID_stopBtn"
         onclick="_MID_onStop()" style="display: none">
</div>
<div id="_MID_answerText" class="overflow-auto bg-white text-dark w-100 mt-2"></div>
"""
PUBLISHED_SCRIPT = """
let renderMarkdown = false;
let commandId = '';

async function _MID_onAsk(prompt) {
    clearImagePreview();
    if (!prompt) { alert("No text was provided"); return; }
    _MID_queryBtn.style.display = "none";
    _MID_stopBtn.style.display = "inline";
    setResultsHtml("Sending prompt...");
    let data = await submitRequest('Published', 'chat', null, [['prompt', prompt]]);
    if (!data.success) { displayBaseResults(data); return; }
    commandId = data.commandId;
    let done = false;
    while (!done) {
        await delay(250);
        let results = await submitRequest('Published', 'get_command_status', null,
                                          [['commandId', commandId], ['moduleId', 'Published']]);
        if (results.success) {
            done = results.commandStatus == "completed";
            _MID_answerText.innerHTML = "<b>You</b>: " + prompt + "<br><b>Assistant</b>: "
                + results.reply.replace(/[<>&]/g, (c) => '&#' + c.charCodeAt(0) + ';');
            if (done) setResultsHtml("Done" + getProcessingMetadataHtml(results));
        }
        else { done = true; }
    }
    _MID_queryBtn.style.display = "inline";
    _MID_stopBtn.style.display = "none";
}

async function _MID_onStop() {
    await submitRequest('Published', 'cancel_command', null,
                        [['commandId', commandId], ['moduleId', 'Published']]);
    setResultsHtml("Command stopped");
}
"""

# Every attempt writes what came of it: "blocked ..." or "REACHED ...".
HOSTILE_HTML = '<ul id="report"></ul><p id="done" hidden>done</p>'
HOSTILE_SCRIPT = """
const attempts = {
    "read the page": () => parent.document.title,
    "read the top page": () => top.document.body.innerHTML,
    "write the page": () => { parent.document.body.innerHTML = "gone"; return "written"; },
    "move the top page": () => { top.location = "about:blank"; return "moved"; },
    "read another frame": () => Array.from({ length: parent.length }, (_, i) => parent[i])
        .filter((frame) => frame !== window).map((frame) => frame.document.body.innerHTML).join(),
    "local storage": () => localStorage.length,
    "cookies": () => { document.cookie = "a=b"; return document.cookie; },
    "own frame element": () => { if (!frameElement) throw new Error("hidden"); return "there"; },
    "fetch": () => fetch("/v1/module/list/status").then((reply) => reply.text()),
    "fetch the queue": () => fetch(`${new URL(document.URL).origin}/v1/queue/llamachat_queue`,
        { mode: "no-cors" }).then(() => "sent"),
    "beacon": () => new Promise((resolve, reject) => {
        const request = new XMLHttpRequest();
        request.onload = () => resolve("sent");
        request.onerror = () => reject(new Error("refused"));
        request.open("POST", "/v1/text/chat");
        request.send("prompt=hi");
    }),
    "image": () => new Promise((resolve, reject) => {
        const image = new Image();
        image.onload = () => resolve("loaded");
        image.onerror = () => reject(new Error("refused"));
        image.src = `${new URL(document.URL).origin}/pages/icon.svg`;
    }),
    "popup": () => { if (!open("about:blank")) throw new Error("refused"); return "opened"; },
    "foreign route": () => bridge("text", "chat"),
    "foreign status": () => bridge("LlamaChat", "get_command_status"),
    "route upwards": () => bridge("Hostile/..", "text/chat"),
    "route in disguise": () => bridge("Hostile/%2e%2e/text", "chat"),
    "route with a query": () => bridge("Hostile/own?x=", "y"),
    "module list": () => bridge("module", "list/status"),
    "second greeting": () => new Promise((resolve, reject) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => resolve("answered");
        parent.postMessage({ type: "explorer-hello" }, "*", [port2]);
        port1.postMessage({ type: "request", id: 1, route: "Hostile", apiName: "own", images: [],
                            params: [] });
        setTimeout(() => reject(new Error("no answer")), 500);
    }),
    "markup over the bridge": () => submitRequest("<img src=x onerror=alert(1)>", "x", null, [])
        .then((answer) => { throw new Error(answer.error); }),
};

async function bridge(route, apiName) {
    const answer = await submitRequest(route, apiName, null, []);
    if (!answer.success) throw new Error(answer.error);
    return JSON.stringify(answer);
}

(async () => {
    for (const [name, attempt] of Object.entries(attempts)) {
        let line;
        try { line = `REACHED ${name}: ${await attempt()}`; }
        catch (error) { line = `blocked ${name}: ${error.message}`; }
        const item = document.createElement("li");
        item.textContent = line;
        report.append(item);
    }
    done.hidden = false;
})();
"""

OWN_HTML = '<input type="file" id="_MID_file"><p id="_MID_out"></p>'
OWN_SCRIPT = """
_MID_file.addEventListener("change", async () => {
    const answer = await submitRequest("Images", "look", _MID_file.files, [["size", 3]]);
    _MID_out.textContent = JSON.stringify(answer);
});
"""

LEAVING_HTML = '<button onclick="location.href = _MID_where">Leave</button>'
LEAVING_SCRIPT = 'const _MID_where = new URL("/v1/queue/x", document.URL).href;'
