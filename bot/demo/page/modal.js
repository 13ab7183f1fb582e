// The bot's dialogs: the visible one of the persona's stack, over the page.

import { act, demo } from "./api.js";
import { blocks } from "./blocks.js";
import { h, icon, iconButton, keepingFocus } from "./dom.js";
import { drafts } from "./elements.js";
import { holdFocus } from "./focus.js";
import { plain } from "./mrkdwn.js";
import { state, views } from "./store.js";

const dialog = document.getElementById("modal");
const TEXTS = ["plain_text_input", "email_text_input", "url_text_input", "number_input"];
let drawn = "";
let busy = false;
let before = null;

holdFocus(dialog);
dialog.addEventListener("cancel", (event) => {
  event.preventDefault(); // Escape closes it through the bot, like its button
  if (!busy) close(false);
});

/** Draws the dialog that is to be seen now, or takes it away. */
export function drawModal() {
  const view = views().at(-1);
  if (!view) return hide();
  const signature = JSON.stringify([view.id, view.hash, state.errors.get(view.id), busy, view.state, state.stage.fault]);
  if (signature === drawn && dialog.open) return undefined;
  drawn = signature;
  keepingFocus(dialog, () => dialog.replaceChildren(...content(view)));
  if (!dialog.open) {
    before = document.activeElement;
    dialog.showModal();
  }
  return takeFocus();
}

function hide() {
  drawn = "";
  busy = false;
  if (!dialog.open) return;
  dialog.close();
  dialog.replaceChildren();
  before?.focus?.();
}

/** The focus goes to the first field as soon as there is one, unless it is in a field already. */
function takeFocus() {
  if (document.activeElement?.matches("#modal .field, #modal footer button")) return;
  const body = dialog.querySelector(".body");
  // Never to a button by itself: who types ahead must not press one with the space bar.
  (body.querySelector("[aria-invalid], .field") ?? body).focus();
}

function content(view) {
  const close_ = h("button", { type: "button", class: "button", disabled: busy, onclick: () => close(false), "data-key": "close" }, plain(view.close?.text ?? "Close"));
  const submit = view.submit ? h("button", { type: "submit", class: "button primary", disabled: busy || view.submit_disabled, "aria-busy": busy || null, "data-key": "submit" }, plain(view.submit.text)) : null;
  const form = h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); send(view); } },
    h("div", { class: "body", tabindex: "0", role: "group", "aria-label": "Details" }, blocks(view)),
    h("footer", {}, close_, submit));
  return [
    h("header", {}, h("h2", { id: "modal-title" }, plain(view.title.text)), iconButton("close", "Close everything", () => close(true), { disabled: busy, "data-key": "x" })),
    form,
    state.stage.fault ? fault() : null,
  ].filter(Boolean);
}

/** What belongs to the demo and not to Slack: the page behind the dialog cannot be reached. */
function fault() {
  const mend = h("button", { type: "button", class: "button small", onclick: () => demo("mend"), "data-key": "mend-here" }, icon("tool"), "Mend Atlas");
  return h("div", { class: "of-the-demo" }, h("p", {}, icon("bolt"), state.stage.fault), mend);
}

async function close(everything) {
  const view = views().at(-1);
  if (view) await act("closes", { user: state.me, view: { id: view.id, root_view_id: view.root_view_id }, everything });
}

async function send(view) {
  const missing = wrong(view);
  if (Object.keys(missing).length) return complain(view, missing);
  busy = true;
  drawModal();
  const texts = view.blocks.filter((block) => block.type === "input" && TEXTS.includes(block.element.type));
  const values = Object.fromEntries(texts.filter((block) => block.block_id in drafts(view)).map((block) => [block.block_id, drafts(view)[block.block_id]]));
  const ack = await act("submits", { user: state.me, view: { id: view.id, root_view_id: view.root_view_id }, values });
  busy = false;
  if (ack.body?.response_action === "clear") state.views.set(state.me, []);
  if (ack.ok && !views().some((one) => one.id === view.id)) state.drafts.delete(view.id);
  return complain(view, ack.errors ?? {});
}

function complain(view, errors) {
  if (Object.keys(errors).length) state.errors.set(view.id, errors);
  else state.errors.delete(view.id);
  drawModal();
  dialog.querySelector("[aria-invalid]")?.focus(); // with the focus, the sentence beside the field is read out
}

/** What Slack's client says about fields that cannot be sent yet, by block. */
function wrong(view) {
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
