// The bot's dialogs: the top view of the current person's stack.

import { postDemo, sendAction } from "./api.js";
import { blocks } from "./blocks.js";
import { h, icon, iconButton, preserveFocus } from "./dom.js";
import { drafts } from "./elements.js";
import { trapFocus } from "./focus.js";
import { plain } from "./mrkdwn.js";
import { state, views } from "./store.js";

const dialog = document.getElementById("modal");
const TEXTS = ["plain_text_input", "email_text_input", "url_text_input", "number_input"];
let rendered = "";
let busy = false;
let previousFocus = null;

trapFocus(dialog);
dialog.addEventListener("cancel", (event) => {
  event.preventDefault(); // Escape closes it through the bot, like its button
  if (!busy) close(false);
});

/** Renders the current dialog, or hides it. */
export function renderModal() {
  const view = views().at(-1);
  if (!view) return hide();
  const signature = JSON.stringify([view.id, view.hash, state.errors.get(view.id), busy, view.state, state.demo.fault]);
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
  const submit = view.submit ? h("button", { type: "submit", class: "button primary", disabled: busy || view.submit_disabled, "aria-busy": busy || null, "data-key": "submit" }, plain(view.submit.text)) : null;
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
  const view = views().at(-1);
  if (view) await sendAction("closes", { user: state.me, view: { id: view.id, root_view_id: view.root_view_id } });
}

async function send(view) {
  const missing = validate(view);
  if (Object.keys(missing).length) return showErrors(view, missing);
  busy = true;
  renderModal();
  const texts = view.blocks.filter((block) => block.type === "input" && TEXTS.includes(block.element.type));
  const values = Object.fromEntries(texts.filter((block) => block.block_id in drafts(view)).map((block) => [block.block_id, drafts(view)[block.block_id]]));
  const ack = await sendAction("submits", { user: state.me, view: { id: view.id, root_view_id: view.root_view_id }, values });
  busy = false;
  if (ack.body?.response_action === "clear") state.views.set(state.me, []);
  if (ack.ok && !views().some((one) => one.id === view.id)) state.drafts.delete(view.id);
  return showErrors(view, ack.errors ?? {});
}

function showErrors(view, errors) {
  if (Object.keys(errors).length) state.errors.set(view.id, errors);
  else state.errors.delete(view.id);
  renderModal();
  dialog.querySelector("[aria-invalid]")?.focus(); // screen readers read the error of the focused field
}

/** Returns the errors that Slack's client shows before a submit, by block. */
function validate(view) {
  const found = {};
  for (const block of view.blocks.filter((one) => one.type === "input")) {
    const value = valueOf(view, block);
    const least = block.element.min_length ?? 0;
    if (!value.length && !block.optional) found[block.block_id] = "Please complete this required field.";
    else if (value.length && value.length < least) found[block.block_id] = `Enter at least ${least} characters.`;
  }
  return found;
}

function valueOf(view, block) {
  const kept = view.state.values[block.block_id]?.[block.element.action_id] ?? {};
  if (TEXTS.includes(block.element.type)) return drafts(view)[block.block_id] ?? kept.value ?? "";
  return [kept.selected_option, ...(kept.selected_options ?? [])].filter(Boolean);
}
