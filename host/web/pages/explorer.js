// The explorer page: polls the host while it is visible, and keeps one frame per module alive.

import { FragmentFrame } from "./fragment_host.js";
import { getJson } from "./host_client.js";
import { LogPane } from "./log_pane.js";
import { ModuleFacts } from "./module_facts.js";
import { ModulesPane, describeModule, setText } from "./modules_pane.js";
import { RestartDialog } from "./restart_dialog.js";
import { SessionPane } from "./session_pane.js";

const POLL_MS = 2000;

const element = (id) => document.getElementById(id);
const root = document.documentElement;
const main = element("main");

const frames = new Map(); // moduleId -> FragmentFrame
const left = new Set(); // ids of modules whose frame went elsewhere and was closed
let insertions = new Map(); // moduleId -> its entry of uiInsertions
let insertionsFor = ""; // the modules that `insertions` was asked for
let entries = []; // the host's statuses, by name
let queues = []; // what the host says of each module's queue
let selectedId = "";
let unreachableSince = null;
let isLetIn = false; // whether the host was asked who uses this page, and lets them in
let storeError = ""; // why the host cannot reach its store; empty when it can

const log = new LogPane(element("log-button"), element("log-latest"), element("log-lines"));
const facts = new ModuleFacts(element("facts"));
const restarting = new RestartDialog(element("restart-dialog"));
const session = new SessionPane(element("sign-in"), element("sign-out"));
const modules = new ModulesPane(element("module-list"), (id) => select(id, true));

// --- theme ---

const systemTheme = matchMedia("(prefers-color-scheme: dark)");
const theme = () => root.dataset.theme ?? (systemTheme.matches ? "dark" : "light");

function applyTheme() {
  root.dataset.effectiveTheme = theme();
  const label = theme() === "dark" ? "Use the light theme" : "Use the dark theme";
  element("theme-button").setAttribute("aria-label", label);
  for (const frame of frames.values()) frame.setTheme(theme());
}

element("theme-button").addEventListener("click", () => {
  root.dataset.theme = theme() === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // Storage is switched off: the choice lasts as long as the page.
  }
  applyTheme();
});
systemTheme.addEventListener("change", applyTheme);

// --- the chosen module ---

function select(id, isUsersChoice) {
  selectedId = id;
  if (isUsersChoice) {
    history.replaceState(null, "", `#${encodeURIComponent(id)}`);
    left.delete(id);
  }
  modules.update(entries, selectedId);
  showSelected();
}

function showSelected() {
  const insertion = insertions.get(selectedId);
  if (insertion && !frames.has(selectedId) && !left.has(selectedId)) openFrame(insertion);
  for (const [id, frame] of frames) frame.isShown = id === selectedId;
  showNotice();
  showFacts();
  fitFrames();
}

function openFrame(insertion) {
  const id = insertion.moduleId;
  const onLeft = () => {
    frames.delete(id);
    left.add(id);
    showSelected();
  };
  frames.set(id, new FragmentFrame(insertion, element("frames"), theme(), { onLink: askAboutLink, onLeft }));
}

function noticeOf(entry) {
  if (!entry) return null;
  const { label, tone, reason } = describeModule(entry);
  const name = entry.name || entry.moduleId;
  if (left.has(entry.moduleId)) {
    return ["bad", `The page of ${name} was closed`, "It tried to go to another address. Choose the module again to reopen it."];
  }
  if (tone !== "good") return [tone, `${name}: ${label.toLowerCase()}`, reason];
  if (!insertions.has(entry.moduleId)) return ["idle", name, "This module has no page of its own. Its routes work all the same."];
  return null;
}

function showNotice() {
  const notice = noticeOf(entries.find((entry) => entry.moduleId === selectedId));
  element("notice").hidden = notice === null;
  if (notice === null) return;
  const [tone, title, text] = notice;
  element("notice").dataset.tone = tone;
  setText(element("notice-title"), title);
  setText(element("notice-text"), text);
}

function showFacts() {
  const entry = entries.find((one) => one.moduleId === selectedId);
  const queue = queues.find((one) => one.moduleId === selectedId);
  facts.update(entry, entry && describeModule(entry), queue, log.linesOf(selectedId));
}

function fitFrames() {
  const box = main.getBoundingClientRect();
  const topPx = element("frames").getBoundingClientRect().top - box.top + main.scrollTop;
  const bottomPx = parseFloat(getComputedStyle(main).paddingBottom);
  const heightPx = Math.max(0, Math.floor(main.clientHeight - topPx - bottomPx));
  for (const frame of frames.values()) frame.setViewHeight(heightPx);
}

new ResizeObserver(fitFrames).observe(main);
new ResizeObserver(fitFrames).observe(element("notice"));
new ResizeObserver(fitFrames).observe(element("facts"));

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) frames.get(selectedId)?.sendEscape();
});

// --- links that lead out ---

function askAboutLink(url) {
  setText(element("link-url"), url);
  element("link-open").href = url;
  if (!element("link-dialog").open) element("link-dialog").showModal();
}

for (const id of ["link-cancel", "link-open"]) {
  element(id).addEventListener("click", () => element("link-dialog").close());
}

// --- what operators do ---

element("restart-button").addEventListener("click", () => {
  const entry = entries.find((one) => one.moduleId === selectedId);
  if (entry) restarting.ask(entry.moduleId, entry.name || entry.moduleId);
});

// --- following the host ---

function hostWords(ping, isLost) {
  if (isLost) return "Host unreachable";
  if (storeError) return "Its store is away";
  if (ping.draining) return "Draining: begins nothing new";
  const { major, minor, patch } = ping.version ?? {};
  return major === undefined ? "Running" : `Running ${major}.${minor}.${patch}`;
}

function showHost(ping) {
  const isLost = ping.success !== true;
  if (isLost && unreachableSince === null) unreachableSince = new Date();
  if (!isLost && unreachableSince !== null) {
    unreachableSince = null;
    log.reset();
  }
  const isDimmed = ping.draining || storeError !== "";
  element("host-state").dataset.tone = isLost ? "bad" : isDimmed ? "wait" : "good";
  setText(element("host-text"), hostWords(ping, isLost));
  element("offline").hidden = !isLost && !storeError;
  element("module-list").toggleAttribute("data-stale", isLost);
  if (isLost) {
    const since = unreachableSince.toLocaleTimeString();
    const text = `No answer from the host since ${since}. This page tries again every few seconds. If you stopped it, start it with: llamachat serve`;
    setText(element("offline"), text);
  } else if (storeError) {
    const text = `The host runs, but ${storeError}. Nothing is lost; what you ask now has to wait. This page tries again every few seconds.`;
    setText(element("offline"), text);
  }
  return !isLost;
}

async function refreshModules() {
  const answer = await getJson("/v1/module/list/status");
  if (!Array.isArray(answer.statuses)) return;
  entries = [...answer.statuses].sort((one, other) => String(one.name).localeCompare(String(other.name)));
  await refreshInsertions();
  const wanted = wantedId();
  const isThere = (id) => entries.some((entry) => entry.moduleId === id);
  if (!isThere(selectedId)) {
    const withPage = entries.find((entry) => insertions.has(entry.moduleId)) ?? entries[0];
    selectedId = isThere(wanted) ? wanted : withPage?.moduleId ?? "";
  }
  select(selectedId, false);
}

async function refreshQueues() {
  const answer = await getJson("/v1/stats");
  queues = Array.isArray(answer.queues) ? answer.queues : [];
  storeError = answer.code === 503 ? answer.error : "";
}

function wantedId() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return ""; // an address typed by hand, with a stray percent sign
  }
}

async function refreshInsertions() {
  const ids = entries.map((entry) => entry.moduleId).join("\n");
  if (ids === insertionsFor) return;
  const answer = await getJson("/v1/module/list/explorer-html");
  if (!Array.isArray(answer.uiInsertions)) return;
  insertionsFor = ids;
  insertions = new Map(answer.uiInsertions.map((insertion) => [insertion.moduleId, insertion]));
}

function showRole() {
  element("log").hidden = !session.isOperator;
  element("restart-button").hidden = !session.isOperator;
}

async function refresh() {
  if (!isLetIn) isLetIn = await session.begin();
  if (!isLetIn) return;
  const ping = await getJson("/v1/status/ping");
  isLetIn = ping.code !== 401 && !ping.isUnreachable; // its key may have been revoked, or the host another one
  if (ping.code === 401 || !showHost(ping)) return;
  showRole();
  await Promise.all([refreshModules(), refreshQueues(), session.isOperator ? log.refresh() : null]);
  showFacts();
}

async function follow() {
  for (;;) {
    if (document.visibilityState === "visible") await refresh();
    await nextTurn();
  }
}

// The next poll: after POLL_MS, or at once when the page is looked at again.
function nextTurn() {
  return new Promise((resolve) => {
    const ending = new AbortController();
    const finish = () => {
      ending.abort();
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(finish, POLL_MS);
    const onChange = () => document.visibilityState === "visible" && finish();
    document.addEventListener("visibilitychange", onChange, { signal: ending.signal });
  });
}

applyTheme();
follow();
