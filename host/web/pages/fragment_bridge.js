// Inside a fragment's frame: the functions that fragments call, each a message to the page around it.
//
// They are set as properties of window, not declared: a published fragment may well say
// `let renderMarkdown = false` at its top level, which a declaration of the same name would make a syntax error.
(() => {
  "use strict";

  const root = document.documentElement;
  const waiting = new Map(); // message id -> resolve
  let lastId = 0;
  let port = null;

  const hasPage = window.parent !== window;
  if (hasPage) {
    const channel = new MessageChannel();
    port = channel.port1;
    port.onmessage = ({ data }) => receive(data);
    // The document's own address names the host; its origin is opaque. Only the host's page gets the port.
    window.parent.postMessage({ type: "explorer-hello" }, new URL(document.URL).origin, [channel.port2]);
  }

  function receive(message) {
    if (message.type === "answer") {
      waiting.get(message.id)?.(message.answer);
      waiting.delete(message.id);
    } else if (message.type === "theme") {
      root.dataset.theme = message.theme;
    } else if (message.type === "view") {
      root.style.setProperty("--explorer-view-height", `calc(${message.heightPx}px - 2 * var(--root-padding))`);
    } else if (message.type === "escape") {
      document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    }
  }

  function ask(message) {
    if (!port) {
      const error = "This page works inside the explorer only: open the host's own address.";
      return Promise.resolve({ success: false, error });
    }
    return new Promise((resolve, reject) => {
      const id = ++lastId;
      waiting.set(id, resolve);
      try {
        port.postMessage({ ...message, id });
      } catch (error) {
        waiting.delete(id);
        reject(error);
      }
    });
  }

  // Posts to /v1/{route}/{apiName} and gives the JSON reply, whatever its HTTP status. Older fragments pass
  // functions for the two outcomes instead of awaiting.
  window.submitRequest = async (route, apiName, images, params, onSuccess, onFailure) => {
    const answer = await ask({
      type: "request",
      route: String(route),
      apiName: String(apiName),
      images: Array.from(images ?? []),
      params: Array.from(params ?? [], ([key, value]) => [String(key), value instanceof Blob ? value : String(value)]),
    });
    const report = answer.success ? onSuccess : onFailure;
    if (typeof report === "function") report(answer);
    return answer;
  };

  // Gives sanitized HTML; rejects where the host can't be asked.
  window.renderMarkdown = async (text) => (await renderedBy({ text: String(text) })).html;

  // For a text that grows: {html, settled: {textLength, htmlLength}}. What is settled need not be sent again. The
  // error it rejects with has `retryAfterMs` where the host is only busy.
  window.renderGrowingMarkdown = (text) => renderedBy({ text: String(text), isGrowing: true });

  async function renderedBy(question) {
    const answer = await ask({ type: "markdown", ...question });
    if (answer.success) return answer;
    throw Object.assign(new Error(answer.error), { retryAfterMs: answer.retryAfterMs });
  }

  window.delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  window.setResultsHtml = (html) => {
    const pane = document.getElementById("results");
    pane.innerHTML = html;
    pane.hidden = false;
  };

  window.clearImagePreview = () => {
    const preview = document.getElementById("imgPreview");
    if (preview) preview.style.visibility = "hidden";
    document.getElementById("imgMask")?.replaceChildren();
  };

  window.getProcessingMetadataHtml = (data) => {
    const table = document.createElement("table");
    table.className = "timing-table";
    const rows = [
      ["Module", data?.moduleId],
      ["Processed by", data?.processedBy],
      ["Device", data?.inferenceDevice],
      ["Round trip", data?.analysisRoundTripMs, " ms"],
      ["Processing", data?.processMs, " ms"],
      ["Inference", data?.inferenceMs, " ms"],
      ["Time", data?.timestampUTC],
    ];
    for (const [label, value, unit = ""] of rows) {
      if (value === undefined || value === null || value === "") continue;
      const row = table.insertRow();
      row.insertCell().textContent = label;
      row.insertCell().textContent = `${value}${unit}`;
    }
    return table.outerHTML;
  };

  window.displayBaseResults = (data) => {
    const failed = data ? data.error ?? "Operation failed" : "No results came back";
    showMessage(data?.success ? data.message ?? "Operation successful" : failed);
    const pane = document.getElementById("results");
    if (data) pane.insertAdjacentHTML("beforeend", window.getProcessingMetadataHtml(data));
  };

  // The sandbox keeps modal windows away: the message goes where results go.
  window.alert = (message) => showMessage(message);

  function showMessage(message) {
    const line = document.createElement("p");
    line.className = "message";
    line.textContent = String(message);
    window.setResultsHtml(line.outerHTML);
  }

  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (!link || !port || !/^(https?|mailto):/i.test(link.getAttribute("href"))) return;
    event.preventDefault(); // a sandboxed frame opens nothing; the page around it asks the user first
    port.postMessage({ type: "link", url: link.href });
  });

  document.addEventListener("DOMContentLoaded", () => {
    if (!port) return;
    const content = document.getElementById("explorer-root");
    const report = () => {
      const heightPx = Math.ceil(content.getBoundingClientRect().height);
      if (heightPx > 0) port.postMessage({ type: "height", heightPx });
    };
    new ResizeObserver(report).observe(content);
  });
})();
