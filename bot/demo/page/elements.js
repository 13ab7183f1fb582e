// Block Kit's interactive elements: buttons, checkboxes, text fields.

import { sendAction } from "./api.js";
import { h } from "./dom.js";
import { plain } from "./mrkdwn.js";
import { state } from "./store.js";

/** What a person entered in a dialog, by block; it stays in the page until the submit. */
export function drafts(view) {
  if (!state.drafts.has(view.id)) state.drafts.set(view.id, {});
  return state.drafts.get(view.id);
}

/** A button of a message. */
export function button(element, block, message) {
  const press = async (event) => {
    const pressed = event.currentTarget;
    if (pressed.getAttribute("aria-busy")) return;
    pressed.setAttribute("aria-busy", "true");
    await sendAction("clicks", { user: state.me, message: { channel: message.channel, ts: message.ts }, action_id: element.action_id, value: element.value });
    pressed.removeAttribute("aria-busy");
  };
  const key = `${message.ts}/${element.action_id}/${element.value}`;
  return h("button", { type: "button", class: `button ${element.style ?? ""}`, onclick: press, "data-key": key, "data-action": element.action_id }, plain(element.text.text));
}

/** Checkboxes. */
export function choices(element, block, view) {
  const ticked = () => drafts(view)[block.block_id] ?? [];
  const change = (value, isOn) => { drafts(view)[block.block_id] = [...ticked().filter((one) => one !== value), ...(isOn ? [value] : [])]; };
  const row = ({ text, value }) => {
    const box = h("input", { type: "checkbox", checked: ticked().includes(value), onchange: (event) => change(value, event.target.checked), "data-key": `${block.block_id}/${value}` });
    return h("label", { class: "choice" }, box, h("span", {}, plain(text.text)));
  };
  return h("div", { class: "choices" }, element.options.map(row));
}

/** A text field. */
export function textField(element, block, view, attributes) {
  const field = h(element.multiline ? "textarea" : "input", {
    ...(element.multiline ? { rows: 3 } : { type: "text" }), class: "field", autocomplete: "off", maxlength: element.max_length, "data-key": block.block_id, ...attributes,
  });
  field.value = drafts(view)[block.block_id] ?? "";
  field.addEventListener("input", () => { drafts(view)[block.block_id] = field.value; });
  return field;
}
