// The page's side of a fragment: its frame, and the door in it.
//
// Invariant: a fragment reaches the host only through FragmentFrame's port, and there only its own module's
// routes. What comes through the port is data, never markup for this page.

import { postForm, renderMarkdown } from "./host_client.js";

const MAX_HEIGHT_PX = 20000;
const SYSTEM_COMMANDS = ["get_command_status", "cancel_command"];

// The path below /v1/ that a fragment may post to, encoded; null where it may not.
export function permittedPath(insertion, route, apiName) {
  const segments = `${route}/${apiName}`.split("/");
  const isPlain = segments.every((part) => /^[^\\?#%\p{Cc}]+$/u.test(part) && !/^\.+$/.test(part));
  if (!isPlain) return null;
  const wanted = segments.join("/").toLowerCase();
  const own = insertion.routes.map((name) => name.toLowerCase());
  const system = SYSTEM_COMMANDS.map((name) => `${insertion.moduleId}/${name}`.toLowerCase());
  const isPermitted =
    system.includes(wanted) || own.some((name) => wanted === name || wanted.startsWith(`${name}/`));
  return isPermitted ? segments.map(encodeURIComponent).join("/") : null;
}

export class FragmentFrame {
  #insertion;
  #frame;
  #port = null;
  #view = null;
  #theme;
  #loads = 0;
  #ending = new AbortController();
  #handlers;

  // `handlers`: onLink(url) when the user follows a link, onLeft() when the frame went elsewhere and was closed.
  constructor(insertion, container, theme, handlers) {
    this.#insertion = insertion;
    this.#theme = theme;
    this.#handlers = handlers;
    this.#frame = document.createElement("iframe");
    this.#frame.className = "frame";
    this.#frame.title = insertion.name;
    this.#frame.setAttribute("sandbox", "allow-scripts");
    this.#frame.addEventListener("load", () => this.#countLoad());
    window.addEventListener("message", (event) => this.#greet(event), { signal: this.#ending.signal });
    this.#frame.src = `${insertion.fragmentUrl}?theme=${theme}`;
    container.append(this.#frame);
  }

  set isShown(isShown) {
    this.#frame.hidden = !isShown;
  }

  setTheme(theme) {
    this.#theme = theme;
    this.#port?.postMessage({ type: "theme", theme });
  }

  // How tall the frame may be without making the page scroll.
  setViewHeight(heightPx) {
    if (this.#view === heightPx) return;
    this.#view = heightPx;
    this.#port?.postMessage({ type: "view", heightPx });
  }

  sendEscape() {
    this.#port?.postMessage({ type: "escape" });
  }

  close() {
    this.#ending.abort();
    this.#port?.close();
    this.#port = null;
    this.#frame.remove();
  }

  // The fragment's document makes the channel as it loads; its first greeting counts, and only from this frame.
  #greet(event) {
    const isOurs = event.source === this.#frame.contentWindow && event.origin === "null";
    if (!isOurs || this.#port || event.data?.type !== "explorer-hello" || event.ports.length !== 1) return;
    this.#port = event.ports[0];
    this.#port.onmessage = ({ data }) => this.#receive(data);
    this.#port.postMessage({ type: "theme", theme: this.#theme });
    if (this.#view !== null) this.#port.postMessage({ type: "view", heightPx: this.#view });
  }

  // A second load is a frame that navigated itself: the port must not serve whatever is there now.
  #countLoad() {
    this.#loads += 1;
    if (this.#loads === 1) return;
    this.close();
    this.#handlers.onLeft();
  }

  #receive(message) {
    if (message?.type === "height") this.#resize(message.heightPx);
    else if (message?.type === "link") this.#follow(message.url);
    else if (message?.type === "request") this.#answer(message.id, this.#post(message));
    else if (message?.type === "markdown") this.#answer(message.id, this.#render(message));
  }

  async #answer(id, work) {
    let answer;
    try {
      answer = await work;
    } catch (error) {
      answer = { success: false, error: `The request could not be sent (${error.message})` };
    }
    this.#port?.postMessage({ type: "answer", id, answer });
  }

  async #post({ route, apiName, images, params }) {
    const path = permittedPath(this.#insertion, String(route), String(apiName));
    if (path === null) {
      const error = `${this.#insertion.name} may call its own routes only, and ${route}/${apiName} is none of them`;
      return { success: false, error };
    }
    return postForm(`/v1/${path}`, Array.from(images), Array.from(params), this.#ending.signal);
  }

  async #render({ text, isGrowing }) {
    return renderMarkdown(String(text), isGrowing === true, this.#ending.signal);
  }

  #resize(heightPx) {
    if (!Number.isFinite(heightPx) || heightPx <= 0) return;
    this.#frame.style.height = `${Math.min(Math.ceil(heightPx), MAX_HEIGHT_PX)}px`;
  }

  #follow(address) {
    const url = URL.canParse(address) ? new URL(address) : null;
    const isAsked = !this.#frame.hidden && navigator.userActivation?.isActive !== false;
    if (url && isAsked && ["http:", "https:", "mailto:"].includes(url.protocol)) this.#handlers.onLink(url.href);
  }
}
