// Launches the chosen module anew, once somebody has said yes to it. What went wrong is said in the dialog.

import { postForm } from "./host_client.js";
import { setText } from "./modules_pane.js";

export class RestartDialog {
  #dialog;
  #title;
  #text;
  #confirm;
  #id = "";

  // `dialog` holds .dialog-title, .dialog-text, .dialog-cancel and .dialog-confirm.
  constructor(dialog) {
    this.#dialog = dialog;
    const part = (name) => dialog.querySelector(`.dialog-${name}`);
    [this.#title, this.#text, this.#confirm] = [part("title"), part("text"), part("confirm")];
    part("cancel").addEventListener("click", () => dialog.close());
    this.#confirm.addEventListener("click", () => this.#restart());
  }

  ask(id, name) {
    this.#id = id;
    this.#confirm.disabled = false;
    setText(this.#title, `Restart ${name}?`);
    setText(this.#text, "What waits is kept. What runs and has shown text ends with that text; the rest starts again.");
    this.#dialog.showModal();
  }

  async #restart() {
    this.#confirm.disabled = true;
    const answer = await postForm(`/v1/modules/${encodeURIComponent(this.#id)}/restart`, [], []);
    this.#confirm.disabled = false;
    if (answer.success === true) this.#dialog.close();
    else setText(this.#text, String(answer.error));
  }
}
