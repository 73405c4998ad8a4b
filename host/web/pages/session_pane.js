// Who uses this page: signing in with a key where the host asks for one, and out again.
//
// Invariant: nothing of one user is left for the next. Signing in and out load the page anew.

import { deleteJson, getJson, postJson } from "./host_client.js";
import { setText } from "./modules_pane.js";

export class SessionPane {
  #form;
  #error;
  #input;
  #submit;
  #signOut;
  #roles = null; // what the user may do; null as long as the host has not said it

  constructor(form, signOut) {
    this.#form = form;
    this.#error = form.querySelector(".sign-in-error");
    this.#input = form.querySelector("input[type=password]");
    this.#submit = form.querySelector("button[type=submit]");
    this.#signOut = signOut;
    form.addEventListener("submit", (event) => this.#signIn(event));
    signOut.addEventListener("click", () => this.#leave());
  }

  // A host that says nothing of roles lets everybody do everything.
  get isOperator() {
    return this.#roles === null || this.#roles.includes("operator");
  }

  // Whether the host lets this page in; where it asks for a key, the user is asked.
  async begin() {
    const answer = await getJson("/v1/session");
    if (answer.code === 401) return this.#ask();
    if (answer.isUnreachable) return this.#form.hidden; // the page says so, and asks again
    if (!this.#form.hidden) return this.#startAnew(); // signed in, perhaps in another tab
    this.#roles = Array.isArray(answer.roles) ? answer.roles : null;
    this.#signOut.hidden = answer.needsKey !== true;
    if (answer.name) this.#signOut.title = `Signed in as ${answer.name}`;
    return true;
  }

  #startAnew() {
    location.reload();
    return false;
  }

  #ask() {
    if (!this.#form.hidden) return false;
    document.documentElement.dataset.signedOut = "";
    for (const frame of document.querySelectorAll("iframe")) frame.remove();
    this.#form.hidden = false;
    this.#input.focus();
    return false;
  }

  async #signIn(event) {
    event.preventDefault();
    const key = this.#input.value.trim();
    if (key === "") return this.#refuse("Enter the key that you were given.");
    this.#submit.disabled = true;
    const answer = await postJson("/v1/session", { key });
    this.#submit.disabled = false;
    if (answer.success === true) this.#startAnew();
    else this.#refuse(answer.code === 401 ? "This host does not know that key. It may have been revoked." : answer.error);
  }

  #refuse(words) {
    setText(this.#error, words);
    this.#error.hidden = false;
    this.#input.setAttribute("aria-invalid", "true");
    this.#input.focus();
    this.#input.select();
  }

  async #leave() {
    const answer = await deleteJson("/v1/session");
    if (answer.success === true) this.#startAnew();
  }
}
