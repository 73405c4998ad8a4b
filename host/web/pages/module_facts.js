// What is known of the chosen module beside its notice: its queue, its processes, its last log lines. It is folded
// away while all is well.

import { setText } from "./modules_pane.js";

const LOG_LINES = 8;

export class ModuleFacts {
  #details;
  #line;
  #body;
  #shownId = "";
  #shownTone = "";

  // `details` is a <details>; the line goes into its summary, the rest under it.
  constructor(details) {
    this.#details = details;
    [this.#line, this.#body] = [details.querySelector(".facts-line"), details.querySelector(".facts-body")];
  }

  // `queue` is the module's entry of /v1/stats, or undefined; `logLines` are log entries, oldest first.
  update(entry, described, queue, logLines) {
    this.#details.hidden = !entry;
    if (!entry) return;
    this.#openWhenItTurnsBad(entry.moduleId, described.tone);
    setText(this.#line, lineOf(entry, described, queue));
    const parts = [factList(entry, queue), instanceTable(entry.instances ?? []), logList(logLines)];
    const fresh = document.createElement("div");
    fresh.append(...parts.filter((part) => part !== null));
    if (fresh.innerHTML !== this.#body.innerHTML) this.#body.replaceChildren(...fresh.children);
  }

  // Once: whoever closes it again has read it.
  #openWhenItTurnsBad(id, tone) {
    const isNews = id !== this.#shownId || tone !== this.#shownTone;
    if (isNews && tone === "bad") this.#details.open = true;
    [this.#shownId, this.#shownTone] = [id, tone];
  }
}

// "12 s", "3 min", "2 h": what a wait of so many milliseconds is called.
export function durationOf(ms) {
  if (ms < 90_000) return `${Math.max(1, Math.round(ms / 1000))} s`;
  return ms < 5_400_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}

function lineOf(entry, described, queue) {
  const parts = [described.label];
  if (queue) parts.push(`${queue.running} running`, `${queue.waiting} waiting`);
  if (queue?.waiting && typeof queue.expectedWaitMs === "number") {
    parts.push(`a new one waits about ${durationOf(queue.expectedWaitMs)}`);
  }
  if (entry.restarts > 0) parts.push(entry.restarts === 1 ? "restarted once" : `restarted ${entry.restarts} times`);
  return parts.join(" · ");
}

function factList(entry, queue) {
  const facts = [
    ["Given up in safe mode", (entry.safeMode?.gaveUp ?? []).join(", ")],
    ["Ended so far", queue ? endsOf(queue) : ""],
    ["A command runs", typeof queue?.meanRunMs === "number" ? `${(queue.meanRunMs / 1000).toFixed(1)} s on average` : ""],
  ];
  const list = element("dl", "facts-list");
  for (const [name, value] of facts) {
    if (value === "") continue;
    list.append(element("dt", "", name), element("dd", "", value));
  }
  return list.childElementCount > 0 ? list : null;
}

function endsOf(queue) {
  const counts = [[queue.completed, "completed"], [queue.cancelled, "cancelled"], [queue.failed, "failed"]];
  return counts.filter(([count]) => count > 0).map(([count, word]) => `${count} ${word}`).join(", ");
}

function instanceTable(instances) {
  if (instances.length === 0) return null;
  const table = element("table", "facts-table");
  const head = table.createTHead().insertRow();
  for (const name of ["Machine", "Status", "Busy", "Last seen"]) {
    const cell = element("th", "", name);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const instance of instances) {
    const row = body.insertRow();
    row.title = [instance.instanceId, instance.pid ? `process ${instance.pid}` : ""].filter(Boolean).join(", ");
    const busy = typeof instance.slots === "number" ? `${instance.busy ?? 0} of ${instance.slots}` : "";
    const status = instance.safeMode ? `${instance.status} (safe mode)` : instance.status;
    const state = [status, instance.reason].filter(Boolean).join(": ");
    for (const text of [instance.machine ?? "", state, busy, timeOf(instance.lastSeen)]) row.insertCell().textContent = text;
  }
  const scroller = element("div", "facts-scroll");
  scroller.append(table);
  return scroller;
}

function logList(lines) {
  if (lines.length === 0) return null;
  const list = element("ol", "facts-log");
  list.setAttribute("aria-label", "The module's last log lines");
  for (const line of lines.slice(-LOG_LINES)) {
    const item = element("li", "", line.entry);
    item.dataset.tone = { error: "bad", critical: "bad", warning: "wait" }[line.level] ?? "idle";
    list.append(item);
  }
  return list;
}

function timeOf(timestamp) {
  const time = new Date(timestamp ?? "");
  return Number.isNaN(time.getTime()) ? "" : time.toLocaleTimeString();
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
