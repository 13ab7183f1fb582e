// The bot's dialog on the current person's screen.

import { postDemo, sendAction } from "./api.js";
import { blocks } from "./blocks.js";
import { h, icon, iconButton, preserveFocus } from "./dom.js";
import { drafts } from "./elements.js";
import { plain } from "./mrkdwn.js";
import { openView, state } from "./store.js";

const dialog = document.getElementById("modal");
let rendered = "";
let busy = false;
let previousFocus = null;

dialog.addEventListener("cancel", (event) => {
  event.preventDefault(); // Escape does what the button does
  if (!busy) close();
});

/** Renders the current dialog, or hides it. */
export function renderModal() {
  const view = openView();
  if (!view) return hide();
  const signature = JSON.stringify([view.id, view.hash, state.errors.get(view.id), busy, state.demo.fault]);
  if (signature === rendered && dialog.open) return undefined;
  rendered = signature;
  preserveFocus(dialog, () => dialog.replaceChildren(...content(view)));
  if (!dialog.open) {
    previousFocus = document.activeElement;
    dialog.showModal();
  }
  return moveFocus();
}

function hide() {
  rendered = "";
  busy = false;
  if (!dialog.open) return;
  dialog.close();
  dialog.replaceChildren();
  previousFocus?.focus?.();
}

/** Moves the focus to the first field, unless it is in a field already. */
function moveFocus() {
  if (document.activeElement?.matches("#modal .field, #modal footer button")) return;
  const body = dialog.querySelector(".body");
  // Never to a button: a person who types ahead must not press it with the space bar.
  (body.querySelector("[aria-invalid], .field") ?? body).focus();
}

function content(view) {
  const close_ = h("button", { type: "button", class: "button", disabled: busy, onclick: close, "data-key": "close" }, plain(view.close?.text ?? "Close"));
  const submit = view.submit ? h("button", { type: "submit", class: "button primary", disabled: busy, "aria-busy": busy || null, "data-key": "submit" }, plain(view.submit.text)) : null;
  const form = h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); send(view); } },
    h("div", { class: "body", tabindex: "0", role: "group", "aria-label": "Details" }, blocks(view)),
    h("footer", {}, close_, submit));
  return [
    h("header", {}, h("h2", { id: "modal-title" }, plain(view.title.text)), iconButton("close", "Close", close, { disabled: busy, "data-key": "x" })),
    form,
    state.demo.fault ? fault() : null,
  ].filter(Boolean);
}

/** The demo's own bar, below the dialog: the page behind the dialog cannot be clicked. */
function fault() {
  const clear = h("button", { type: "button", class: "button small", onclick: () => postDemo("clear-faults"), "data-key": "clear-faults-here" }, icon("tool"), "Clear the fault");
  return h("div", { class: "of-the-demo" }, h("p", {}, icon("bolt"), state.demo.fault), clear);
}

async function close() {
  const view = openView();
  if (view) await sendAction("closes", { user: state.me, view: { id: view.id } });
}

async function send(view) {
  const missing = validate(view);
  if (Object.keys(missing).length) return showErrors(view, missing);
  busy = true;
  renderModal();
  const values = Object.fromEntries(inputs(view).filter((id) => id in drafts(view)).map((id) => [id, drafts(view)[id]]));
  const ack = await sendAction("submits", { user: state.me, view: { id: view.id }, values });
  busy = false;
  return showErrors(view, ack.errors ?? {});
}

function showErrors(view, errors) {
  if (Object.keys(errors).length) state.errors.set(view.id, errors);
  else state.errors.delete(view.id);
  renderModal();
  dialog.querySelector("[aria-invalid]")?.focus(); // screen readers read the error of the focused field
}

const inputs = (view) => view.blocks.filter((block) => block.type === "input").map((block) => block.block_id);

/** Returns the errors that Slack's client shows before a submit, by block. */
function validate(view) {
  const missing = view.blocks.filter((block) => block.type === "input" && !block.optional && !drafts(view)[block.block_id]?.length);
  return Object.fromEntries(missing.map((block) => [block.block_id, "Please complete this required field."]));
}
