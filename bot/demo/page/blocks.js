// Renders Block Kit: one function per block. Unknown blocks and elements are shown as errors.

import { context } from "./context.js";
import { h, newId } from "./dom.js";
import { button, choices, textField } from "./elements.js";
import { mrkdwn, plain } from "./mrkdwn.js";
import { state } from "./store.js";

/** All blocks of a message or a view. */
export const blocks = (container) => container.blocks.map((block) => shown(block, container));

/** A visible error: the demo must not hide what the bot sent. */
const unknown = (what) => h("p", { class: "unknown", role: "alert" }, `The demo cannot show this: ${what}`);

function shown(block, container) {
  const render = BLOCKS[block.type];
  return render ? render(block, container) : unknown(`a block of the type ${block.type}`);
}

const text = (object) => mrkdwn(object.text, context());

const BLOCKS = {
  section: (block, message) => h("div", { class: "block section" },
    h("div", { class: "words" }, text(block.text)),
    block.accessory ? button(block.accessory, block, message) : null),
  context: (block) => h("div", { class: "block context" }, block.elements.map(text)),
  actions: (block, message) => h("div", { class: "block actions" }, block.elements.map((one) => button(one, block, message))),
  input: (block, view) => (block.element.type === "checkboxes" ? boxes(block, view) : field(block, view)),
};

const label = (block) => [plain(block.label.text), block.optional ? h("span", { class: "optional" }, " (optional)") : null];

function boxes(block, view) {
  const error = state.errors.get(view.id)?.[block.block_id];
  return h("fieldset", { class: "block input" }, h("legend", {}, label(block)), choices(block.element, block, view), error ? h("p", { class: "error", role: "alert" }, error) : null);
}

/** A text input with its label, hint and error. */
function field(block, view) {
  if (block.element.type !== "plain_text_input") return unknown(`an input of the type ${block.element.type}`);
  const error = state.errors.get(view.id)?.[block.block_id];
  const ids = { field: newId("field"), hint: newId("hint"), error: newId("error") };
  const described = [error && ids.error, block.hint && ids.hint].filter(Boolean).join(" ");
  const attributes = { id: ids.field, "aria-describedby": described || null, "aria-invalid": error ? "true" : null, "aria-required": block.optional ? null : "true" };
  return h("div", { class: "block input" },
    h("label", { for: ids.field }, label(block)),
    textField(block.element, block, view, attributes),
    block.hint ? h("p", { class: "hint", id: ids.hint }, plain(block.hint.text)) : null,
    error ? h("p", { class: "error", id: ids.error }, error) : null);
}
