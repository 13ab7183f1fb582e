// A select with a search field: the combobox pattern of the ARIA practices.

import { h, newId } from "./dom.js";

const DEBOUNCE = 200; // milliseconds without a key before the search

/**
 * `chosen`: the selected option, or null. `search(text)`: a promise of the options.
 * `pick(option)`: called with each selected option. `input`: more attributes of the text field.
 */
export function combobox({ chosen, search, pick, placeholder = "", input = {} }) {
  const list = h("ul", { class: "options", role: "listbox", id: newId("options"), "aria-label": "Options", hidden: true });
  const box = h("input", {
    type: "text", role: "combobox", class: "field", autocomplete: "off", placeholder,
    "aria-expanded": "false", "aria-controls": list.id, "aria-autocomplete": "list", ...input,
  });
  const part = { box, list, search, pick, chosen, options: [], at: -1, asked: 0, timer: 0 };
  box.value = chosen?.text.text ?? "";
  box.addEventListener("focus", () => box.select());
  box.addEventListener("click", () => open(part, ""));
  box.addEventListener("input", () => later(part));
  box.addEventListener("keydown", (event) => key(part, event));
  box.addEventListener("blur", () => close(part));
  return h("div", { class: "combobox" }, box, list);
}

function later(part) {
  clearTimeout(part.timer);
  part.timer = setTimeout(() => open(part, part.box.value.trim()), DEBOUNCE);
}

async function open(part, text) {
  const asked = (part.asked += 1);
  show(part, [h("li", { class: "nothing" }, "Searching …")]);
  const options = await part.search(text);
  if (asked !== part.asked || !part.box.isConnected) return; // a later search, or closed meanwhile
  part.options = options;
  part.at = options.length ? 0 : -1;
  show(part, options.length ? options.map((option, at) => row(part, option, at)) : [h("li", { class: "nothing" }, "Nothing found")]);
  mark(part);
}

function show(part, rows) {
  part.list.replaceChildren(...rows);
  part.list.hidden = false;
  part.box.setAttribute("aria-expanded", "true");
}

function row(part, option, at) {
  const about = option.description ? h("span", { class: "about" }, option.description.text) : null;
  const choose = (event) => {
    event.preventDefault(); // the focus stays in the text field
    choice(part, at);
  };
  return h("li", { role: "option", id: `${part.list.id}-${at}`, onmousedown: choose }, h("span", {}, option.text.text), about);
}

function mark(part) {
  [...part.list.children].forEach((item, at) => item.role === "option" && item.setAttribute("aria-selected", String(at === part.at)));
  const active = part.list.children[part.at];
  if (active?.id) part.box.setAttribute("aria-activedescendant", active.id);
  active?.scrollIntoView({ block: "nearest" });
}

function choice(part, at) {
  const option = part.options[at];
  if (!option) return;
  part.chosen = option;
  close(part);
  part.pick(option);
}

function close(part) {
  clearTimeout(part.timer);
  part.asked += 1;
  part.list.hidden = true;
  part.box.setAttribute("aria-expanded", "false");
  part.box.removeAttribute("aria-activedescendant");
  part.box.value = part.chosen?.text.text ?? "";
}

function key(part, event) {
  const isOpen = !part.list.hidden;
  if (event.key === "Escape" && isOpen) {
    event.preventDefault(); // only the list closes, not the dialog around it
    event.stopPropagation();
    close(part);
  } else if (event.key === "Enter") {
    event.preventDefault();
    if (isOpen) choice(part, part.at);
    else open(part, "");
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (!isOpen) open(part, "");
    else move(part, event.key === "ArrowDown" ? 1 : -1);
  }
}

function move(part, step) {
  if (!part.options.length) return;
  part.at = (part.at + step + part.options.length) % part.options.length;
  mark(part);
}
