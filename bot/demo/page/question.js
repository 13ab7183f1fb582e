// The question that a button asks before it acts.

import { h } from "./dom.js";
import { holdFocus } from "./focus.js";
import { mrkdwn, plain } from "./mrkdwn.js";
import { context } from "./context.js";

/** Asks; gives true for the answer that acts, false for everything else. */
export function ask(confirm) {
  const dialog = document.getElementById("question");
  const text = confirm.text.type === "mrkdwn" ? mrkdwn(confirm.text.text, context()) : plain(confirm.text.text);
  const answer = (value) => () => dialog.close(value);
  dialog.returnValue = "";
  dialog.replaceChildren(
    h("h2", { id: "question-title" }, plain(confirm.title.text)),
    h("div", { class: "body" }, text),
    h("footer", {},
      h("button", { type: "button", class: "button", onclick: answer("") }, plain(confirm.deny.text)),
      h("button", { type: "button", class: `button ${confirm.style ?? "primary"}`, onclick: answer("yes") }, plain(confirm.confirm.text))),
  );
  holdFocus(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
