// The list of modules: what each one is doing, in plain words.

const WORDS = {
  Unknown: ["Unknown", "idle", "The host does not know this module's state."],
  NotStarted: ["Not started", "idle", "It has not been started."],
  Starting: ["Starting", "wait", "It is starting; a large model can take a minute."],
  Started: ["Started", "good", ""],
  Restarting: ["Restarting", "wait", "It ended and is being started again."],
  FailedStart: ["Failed to start", "bad", "It could not be started. The log says more."],
  Crashed: ["Crashed", "bad", "Its process ended unexpectedly. The log says more."],
  Stopping: ["Stopping", "wait", "It is being stopped."],
  Stopped: ["Stopped", "idle", "It has been stopped."],
};

// {label, tone: good | wait | bad | idle, reason: "" when all is well} of one entry of `statuses`.
export function describeModule(entry) {
  const data = entry.statusData ?? {};
  let [label, tone, reason] = WORDS[entry.status] ?? [String(entry.status), "idle", ""];
  if (entry.status === "Started" && data.state === "loading") {
    [label, tone, reason] = ["Loading", "wait", "It is loading its model. What you ask now waits for it."];
  } else if (entry.status === "Started" && data.state === "failed") {
    [label, tone, reason] = ["Failed", "bad", "It runs, but could not get ready."];
  } else if (entry.status === "Started" && data.state === "ready") {
    label = "Ready";
  }
  if (tone === "good" && entry.safeMode) {
    return { label: "Started (safe mode)", tone: "wait", reason: safeModeReason(entry.safeMode) };
  }
  const told = tone === "good" ? "" : entry.reason || data.error || "";
  return { label, tone, reason: [told || reason, nextTryOf(entry)].filter(Boolean).join("\n") };
}

function nextTryOf({ nextTry }) {
  const time = new Date(nextTry ?? "");
  return Number.isNaN(time.getTime()) ? "" : `It is tried again at ${time.toLocaleTimeString()}; what waits for it is kept.`;
}

// Why it is in safe mode, and on a line of its own what repairs it.
function safeModeReason({ reason, remedy }) {
  return [reason, remedy].filter(Boolean).map(sentence).join("\n");
}

function sentence(text) {
  const words = String(text);
  return words.charAt(0).toUpperCase() + words.slice(1) + (words.endsWith(".") ? "" : ".");
}

function describeDetail(entry) {
  const data = entry.statusData ?? {};
  const parts = [];
  if (data.inferenceDevice) parts.push(data.inferenceDevice);
  if (data.busy > 0) parts.push(data.slots > 1 ? `${data.busy} of ${data.slots} busy` : "busy");
  const count = entry.requestCount ?? 0;
  parts.push(count === 1 ? "1 request" : `${count} requests`);
  return parts.join(" · ");
}

export class ModulesPane {
  #list;
  #onSelect;
  #buttons = new Map(); // moduleId -> button

  constructor(list, onSelect) {
    this.#list = list;
    this.#onSelect = onSelect;
  }

  update(entries, selectedId) {
    const ids = new Set(entries.map((entry) => entry.moduleId));
    for (const [id, button] of this.#buttons) {
      if (ids.has(id)) continue;
      button.parentElement.remove();
      this.#buttons.delete(id);
    }
    for (const entry of entries) this.#fill(this.#buttonOf(entry.moduleId), entry, selectedId);
    this.#sayWhenEmpty(entries.length === 0);
  }

  #buttonOf(id) {
    let button = this.#buttons.get(id);
    if (button) return button;
    button = document.createElement("button");
    button.type = "button";
    button.className = "module";
    for (const part of ["module-name", "pill", "module-detail"]) {
      const span = document.createElement("span");
      span.className = part;
      button.append(span);
    }
    button.addEventListener("click", () => this.#onSelect(id));
    const item = document.createElement("li");
    item.append(button);
    this.#list.append(item);
    this.#buttons.set(id, button);
    return button;
  }

  #fill(button, entry, selectedId) {
    const { label, tone, reason } = describeModule(entry);
    const [name, pill, detail] = button.children;
    setText(name, entry.name || entry.moduleId);
    setText(pill, label);
    setText(detail, tone === "bad" ? reason.split("\n")[0] : describeDetail(entry));
    pill.dataset.tone = tone;
    button.title = reason;
    button.setAttribute("aria-current", String(entry.moduleId === selectedId));
  }

  #sayWhenEmpty(isEmpty) {
    const line = this.#list.querySelector(".modules-none");
    if (!isEmpty) return line?.remove();
    if (line) return;
    const item = document.createElement("li");
    item.className = "modules-none";
    item.textContent = "No modules are installed.";
    this.#list.append(item);
  }
}

// Text that did not change is left alone, so that a live region is not read again every two seconds.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
