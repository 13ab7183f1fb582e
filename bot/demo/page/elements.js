// Block Kit's interactive elements: buttons, selects, inputs.

import { sendAction } from "./api.js";
import { follow } from "./context.js";
import { h, newId } from "./dom.js";
import { plain } from "./mrkdwn.js";
import { state } from "./store.js";

/** Identifies a message or a view in a call. */
const handle = (container) => (isView(container) ? { id: container.id, root_view_id: container.root_view_id } : { channel: container.channel, ts: container.ts, only_for: container.only_for });
export const isView = (container) => "root_view_id" in container;

/** Unsent input of a view, by block. */
export function drafts(view) {
  if (!state.drafts.has(view.id)) state.drafts.set(view.id, {});
  return state.drafts.get(view.id);
}

async function withDrafts(container) {
  const typed = isView(container) ? drafts(container) : {};
  const inputs = new Set((container.blocks ?? []).filter((block) => block.type === "input").map((block) => block.block_id));
  const values = Object.fromEntries(Object.entries(typed).filter(([block]) => inputs.has(block)));
  if (Object.keys(values).length) await sendAction("fills", { user: state.me, view: handle(container), values });
}

export function button(element, block, container) {
  const classes = `button ${element.style ?? ""}`;
  const press = async (event) => {
    const pressed = event.currentTarget;
    if (pressed.getAttribute("aria-busy")) return;
    pressed.setAttribute("aria-busy", "true");
    if (element.url) follow(element.url)?.();
    await withDrafts(container);
    await sendAction("clicks", { user: state.me, thing: handle(container), action_id: element.action_id, value: element.value ?? null, block: block.block_id });
    pressed.removeAttribute("aria-busy");
  };
  const key = `${container.id ?? container.ts}/${block.block_id}/${element.action_id}/${element.value ?? ""}`;
  return h("button", { type: "button", class: classes, onclick: press, "data-key": key, "data-action": element.action_id, "aria-label": element.accessibility_label }, plain(element.text.text));
}

const valueIn = (element, block, container) => container.state?.values?.[block.block_id]?.[element.action_id] ?? {};

/** Sends the selected value; an input without dispatch only changes the view's state. */
async function choose(element, block, container, value) {
  await withDrafts(container);
  return sendAction("chooses", { user: state.me, thing: handle(container), action_id: element.action_id, value, block: block.block_id });
}

/** Checkboxes. */
export function choices(element, block, container) {
  const now = valueIn(element, block, container);
  const chosen = new Set((now.selected_options ?? []).map((option) => option.value));
  const name = newId("choice");
  const change = (option, on) => {
    chosen[on ? "add" : "delete"](option.value);
    choose(element, block, container, [...chosen]);
  };
  const row = (option) => {
    const box = h("input", {
      type: "checkbox", name, checked: chosen.has(option.value),
      onchange: (event) => change(option, event.target.checked), "data-key": `${block.block_id}/${option.value}`,
    });
    return h("label", { class: "choice" }, box, h("span", {}, plain(option.text.text)));
  };
  return h("div", { class: "choices" }, element.options.map(row));
}

/** A text field; its text stays in the page until an action is sent. */
export function textField(element, block, view, input) {
  const typed = drafts(view)[block.block_id] ?? valueIn(element, block, view).value ?? element.initial_value ?? "";
  const field = h(element.multiline ? "textarea" : "input", {
    ...(element.multiline ? { rows: 3 } : { type: "text" }), class: "field", autocomplete: "off", maxlength: element.max_length,
    placeholder: element.placeholder?.text, "data-key": `${block.block_id}/${element.action_id}`, autofocus: element.focus_on_load, ...input,
  });
  field.value = typed;
  field.addEventListener("input", () => { drafts(view)[block.block_id] = field.value; });
  return field;
}
