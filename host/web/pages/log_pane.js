// The host's log, newest line last; closed, its bar shows the newest line.

import { getJson } from "./host_client.js";
import { setText } from "./modules_pane.js";

const PAGE_LINES = 50;
const KEPT_LINES = 400;
const TONES = { error: "bad", critical: "bad", fatal: "bad", warning: "wait" };

export class LogPane {
  #button;
  #latest;
  #lines;
  #lastId = 0;
  #kept = []; // entries, oldest first

  constructor(button, latest, lines) {
    this.#button = button;
    this.#latest = latest;
    this.#lines = lines;
    button.addEventListener("click", () => this.#toggle());
  }

  async refresh() {
    const answer = await getJson(`/v1/log/list?last_id=${this.#lastId}&count=${PAGE_LINES}`);
    if (answer.success === false || !Array.isArray(answer.entries)) return;
    const entries = answer.entries.filter((entry) => entry.id > this.#lastId);
    if (entries.length === 0) return;
    const isAtEnd = this.#lines.scrollHeight - this.#lines.scrollTop - this.#lines.clientHeight < 40;
    entries.sort((one, other) => one.id - other.id);
    this.#lines.append(...entries.map(buildLine));
    while (this.#lines.childElementCount > KEPT_LINES) this.#lines.firstElementChild.remove();
    this.#kept = [...this.#kept, ...entries].slice(-KEPT_LINES);
    const newest = entries[entries.length - 1];
    this.#lastId = newest.id;
    setText(this.#latest, `${sourceOf(newest)}: ${newest.entry}`);
    if (isAtEnd) this.#lines.scrollTop = this.#lines.scrollHeight;
  }

  // The entries about a module.
  linesOf(moduleId) {
    const wanted = moduleId.toLowerCase();
    return this.#kept.filter((entry) => String(entry.category).toLowerCase() === wanted);
  }

  // A host that came back counts its lines from the start again.
  reset() {
    this.#lastId = 0;
    this.#kept = [];
    this.#lines.replaceChildren();
    setText(this.#latest, "");
  }

  #toggle() {
    this.#lines.hidden = !this.#lines.hidden;
    this.#button.setAttribute("aria-expanded", String(!this.#lines.hidden));
    this.#lines.scrollTop = this.#lines.scrollHeight;
  }
}

function buildLine(entry) {
  const line = document.createElement("li");
  line.className = "log-line";
  line.dataset.tone = TONES[String(entry.level).toLowerCase()] ?? "idle";
  const parts = [
    ["log-time", timeOf(entry.timestamp)],
    ["log-label", sourceOf(entry)],
    ["log-entry", entry.entry],
  ];
  for (const [className, text] of parts) {
    const span = document.createElement("span");
    span.className = className;
    span.textContent = text;
    line.append(span);
  }
  return line;
}

function sourceOf(entry) {
  return entry.category || entry.label || "host";
}

function timeOf(timestamp) {
  const time = new Date(timestamp);
  return Number.isNaN(time.getTime()) ? String(timestamp ?? "") : time.toLocaleTimeString();
}
