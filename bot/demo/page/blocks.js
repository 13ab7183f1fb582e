// Renders Block Kit: one function per block. Unknown blocks and elements are shown as errors.

import { context } from "./context.js";
import { h, newId } from "./dom.js";
import { button, choices, textField } from "./elements.js";
import { mrkdwn, plain } from "./mrkdwn.js";
import { state } from "./store.js";

/** All blocks of a message or a view. */
export const blocks = (container) => (container.blocks ?? []).map((block) => shown(block, container));

/** A visible error: the demo must not hide what the bot sent. */
export const unknown = (what) => h("p", { class: "unknown", role: "alert" }, `The demo cannot show this: ${what}`);

function shown(block, container) {
  const render = BLOCKS[block.type];
  return render ? render(block, container) : unknown(`a block of the type ${block.type}`);
}

const text = (object) => (object.type === "mrkdwn" ? mrkdwn(object.text, context()) : h("span", { class: "plain" }, plain(object.text)));

const BLOCKS = {
  section: (block, container) => h("div", { class: "block section" },
    h("div", { class: "words" },
      text(block.text)),
    block.accessory ? h("div", { class: "accessory" }, element(block.accessory, block, container)) : null),
  context: (block) => h("div", { class: "block context" }, block.elements.map((one) => (one.type === "image" ? unknown("an image") : text(one)))),
  actions: (block, container) => h("div", { class: "block actions" }, block.elements.map((one) => element(one, block, container))),
  input: (block, view) => input(block, view),
};

const ELEMENTS = {
  button,
  checkboxes: choices,
};

function element(one, block, container) {
  const render = ELEMENTS[one.type];
  return render ? render(one, block, container) : unknown(`an element of the type ${one.type}`);
}

const FIELDS = {
  plain_text_input: textField,
};

/** An input with its label, hint and error. */
function input(block, view) {
  const one = block.element;
  const error = state.errors.get(view.id)?.[block.block_id];
  const ids = { field: newId("field"), hint: newId("hint"), error: newId("error") };
  const label = [plain(block.label.text), block.optional ? h("span", { class: "optional" }, " (optional)") : null];
  const below = [
    block.hint ? h("p", { class: "hint", id: ids.hint }, plain(block.hint.text)) : null,
    error ? h("p", { class: "error", id: ids.error }, error) : null,
  ];
  if (one.type in ELEMENTS && !(one.type in FIELDS)) {
    return h("fieldset", { class: "block input", "data-block": block.block_id }, h("legend", {}, label), element(one, block, view), below);
  }
  const render = FIELDS[one.type];
  if (!render) return unknown(`an input of the type ${one.type}`);
  const described = [error && ids.error, block.hint && ids.hint].filter(Boolean).join(" ");
  const attributes = { id: ids.field, "aria-describedby": described || null, "aria-invalid": error ? "true" : null, "aria-required": block.optional ? null : "true", "aria-label": null };
  return h("div", { class: "block input", "data-block": block.block_id }, h("label", { for: ids.field }, label), render(one, block, view, attributes), below);
}
