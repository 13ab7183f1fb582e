// Block Kit's interactive elements: buttons, selects, inputs.

import { act } from "./api.js";
import { combobox } from "./combobox.js";
import { follow } from "./context.js";
import { h, newId } from "./dom.js";
import { plain } from "./mrkdwn.js";
import { ask } from "./question.js";
import { state } from "./store.js";

/** What acts need to find a message or a view again. */
const handle = (thing) => (isView(thing) ? { id: thing.id, root_view_id: thing.root_view_id } : { channel: thing.channel, ts: thing.ts, only_for: thing.only_for });
export const isView = (thing) => "root_view_id" in thing;

/** What has been typed into a view and not been sent. */
export function drafts(view) {
  if (!state.drafts.has(view.id)) state.drafts.set(view.id, {});
  return state.drafts.get(view.id);
}

async function withDrafts(thing) {
  const typed = isView(thing) ? drafts(thing) : {};
  const inputs = new Set((thing.blocks ?? []).filter((block) => block.type === "input").map((block) => block.block_id));
  const values = Object.fromEntries(Object.entries(typed).filter(([block]) => inputs.has(block)));
  if (Object.keys(values).length) await act("fills", { user: state.me, view: handle(thing), values });
}

export function button(element, block, thing) {
  const classes = `button ${element.style ?? ""}`;
  const press = async (event) => {
    const pressed = event.currentTarget;
    if (pressed.getAttribute("aria-busy")) return;
    if (element.confirm && !(await ask(element.confirm))) return;
    pressed.setAttribute("aria-busy", "true");
    if (element.url) follow(element.url)?.();
    await withDrafts(thing);
    await act("clicks", { user: state.me, thing: handle(thing), action_id: element.action_id, value: element.value ?? null, block: block.block_id });
    pressed.removeAttribute("aria-busy");
  };
  const key = `${thing.id ?? thing.ts}/${block.block_id}/${element.action_id}/${element.value ?? ""}`;
  return h("button", { type: "button", class: classes, onclick: press, "data-key": key, "data-action": element.action_id, "aria-label": element.accessibility_label }, plain(element.text.text));
}

const valueIn = (element, block, thing) => thing.state?.values?.[block.block_id]?.[element.action_id] ?? {};

/** Tells the bot (or just the view, in an input that does not dispatch) what was chosen. */
async function choose(element, block, thing, value) {
  await withDrafts(thing);
  return act("chooses", { user: state.me, thing: handle(thing), action_id: element.action_id, value, block: block.block_id });
}

export function select(element, block, thing, input = {}) {
  const external = element.type === "external_select";
  const options = element.options ?? (element.option_groups ?? []).flatMap((group) => group.options);
  const fits = (option, text) => option.text.text.toLowerCase().includes(text.toLowerCase());
  return combobox({
    chosen: valueIn(element, block, thing).selected_option ?? element.initial_option ?? null,
    placeholder: element.placeholder?.text ?? "Choose one, or type to search",
    search: external ? (text) => suggested(element, thing, text) : async (text) => options.filter((option) => fits(option, text)),
    pick: (option) => choose(element, block, thing, option.value),
    input: { "data-key": `${block.block_id}/${element.action_id}`, "aria-label": element.placeholder?.text ?? "Choose", ...input },
  });
}

async function suggested(element, thing, text) {
  if (text.length < (element.min_query_length ?? 3)) return [];
  await withDrafts(thing);
  const ack = await act("suggests", { user: state.me, view: handle(thing), action_id: element.action_id, text });
  return ack.options ?? [];
}

/** A choice of a few: radio buttons, or checkboxes where several may be chosen. */
export function choices(element, block, thing) {
  const several = element.type === "checkboxes";
  const now = valueIn(element, block, thing);
  const chosen = new Set([now.selected_option, ...(now.selected_options ?? [])].filter(Boolean).map((option) => option.value));
  const name = newId("choice");
  const change = (option, on) => {
    if (several) chosen[on ? "add" : "delete"](option.value);
    choose(element, block, thing, several ? [...chosen] : option.value);
  };
  const row = (option) => {
    const box = h("input", {
      type: several ? "checkbox" : "radio", name, checked: chosen.has(option.value),
      onchange: (event) => change(option, event.target.checked), "data-key": `${block.block_id}/${option.value}`,
    });
    return h("label", { class: "choice" }, box, h("span", {}, plain(option.text.text)));
  };
  return h("div", { class: "choices" }, element.options.map(row));
}

export function overflow(element, block, thing) {
  return select({ ...element, type: "static_select", placeholder: { text: "More …" } }, block, thing);
}

/** A text field; what is typed stays in the page until something is sent. */
export function textField(element, block, view, input) {
  const typed = drafts(view)[block.block_id] ?? valueIn(element, block, view).value ?? element.initial_value ?? "";
  const type = { email_text_input: "email", url_text_input: "url", number_input: "number" }[element.type] ?? "text";
  const field = h(element.multiline ? "textarea" : "input", {
    ...(element.multiline ? { rows: 3 } : { type }), class: "field", autocomplete: "off", maxlength: element.max_length,
    placeholder: element.placeholder?.text, "data-key": `${block.block_id}/${element.action_id}`, autofocus: element.focus_on_load, ...input,
  });
  field.value = typed;
  field.addEventListener("input", () => { drafts(view)[block.block_id] = field.value; });
  return field;
}
