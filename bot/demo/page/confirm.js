// The confirmation dialog of a button.

import { h } from "./dom.js";
import { trapFocus } from "./focus.js";
import { mrkdwn, plain } from "./mrkdwn.js";
import { context } from "./context.js";

/** Shows the confirmation; resolves to whether it was confirmed. */
export function askToConfirm(confirm) {
  const dialog = document.getElementById("confirm");
  const text = confirm.text.type === "mrkdwn" ? mrkdwn(confirm.text.text, context()) : plain(confirm.text.text);
  const answer = (value) => () => dialog.close(value);
  dialog.returnValue = "";
  dialog.replaceChildren(
    h("h2", { id: "confirm-title" }, plain(confirm.title.text)),
    h("div", { class: "body" }, text),
    h("footer", {},
      h("button", { type: "button", class: "button", onclick: answer("") }, plain(confirm.deny.text)),
      h("button", { type: "button", class: `button ${confirm.style ?? "primary"}`, onclick: answer("yes") }, plain(confirm.confirm.text))),
  );
  trapFocus(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
