// Builds elements. External text only becomes text nodes: the page has no innerHTML.

const SVG = "http://www.w3.org/2000/svg";

/** Icons, as SVG paths in a 20 by 20 view box. */
const ICONS = {
  menu: "M3 5h14M3 10h14M3 15h14",
  close: "M5 5l10 10M15 5L5 15",
  hash: "M8 3L6 17M14 3l-2 14M3.500 7.500h13.500M3 12.500h13.500",
  lock: "M5 9h10v8H5zM7 9V6a3 3 0 0 1 6 0v3",
  link: "M8 12l4-4M7 9l-2.500 2.500a2.800 2.800 0 0 0 4 4L11 13M13 11l2.500-2.500a2.800 2.800 0 0 0-4-4L9 7",
  app: "M4 4h5v5H4zM11 4h5v5h-5zM4 11h5v5H4zM11 11h5v5h-5z",
  thread: "M4 4h12v9H9l-3.500 3v-3H4z",
  more: "M4.500 10h.01M10 10h.01M15.500 10h.01",
  send: "M3 10l14-6-4 13-3.500-5.500z",
  eye: "M2 10s3-5 8-5 8 5 8 5-3 5-8 5-8-5-8-5zM10 8v4M8 10h4",
  calls: "M3 10h3l2-5 4 10 2-5h3",
  moon: "M16 12a7 7 0 0 1-8-8 7 7 0 1 0 8 8z",
  sun: "M10 6.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7zM10 2v1.500M10 16.500V18M2 10h1.500M16.500 10H18M4.300 4.300l1 1M14.700 14.700l1 1M15.700 4.300l-1 1M5.300 14.700l-1 1",
  bolt: "M11 2L4 11h5l-1 7 7-9h-5z",
  tool: "M12 3a4 4 0 0 0-3.500 5.500L3 14l3 3 5.500-5.500A4 4 0 0 0 17 8l-2.500 2-2.500-2.500L14 5z",
};

/** h("button", {class: "x", onclick: f, "aria-label": "y"}, "text", child): null children are left out. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon only; its label is the accessible name and the tooltip. */
export function iconButton(name, label, onclick, props = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...props }, icon(name));
}

/** Renders inside `container`, then restores the focus by data-key. */
export function preserveFocus(container, render) {
  const active = container.contains(document.activeElement) ? document.activeElement : null;
  const key = active?.dataset.key;
  const range = active && "selectionStart" in active ? [active.selectionStart, active.selectionEnd] : null;
  render();
  if (!key || container.contains(active)) return;
  const again = container.querySelector(`[data-key="${CSS.escape(key)}"]`);
  again?.focus({ preventScroll: true });
  if (again && range && range[0] !== null) again.setSelectionRange?.(...range);
}

let lastId = 0;
export const newId = (prefix) => `${prefix}-${(lastId += 1)}`;

/** Shows a message for seven seconds; it is a live region for screen readers. */
export function toast(text) {
  const place = document.getElementById("toast");
  place.textContent = text;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => place.replaceChildren(), 7000);
}

/**
 * Keeps a scrolled list at its end if it was there, also when its size changes. Returns a function
 * to be called after its content changed; `force` scrolls there in any case.
 */
export function followEnd(list) {
  let atEnd = true;
  let known = "";
  const size = () => `${list.scrollHeight}/${list.clientHeight}`;
  // Of a last message that is higher than the list, the first line shows.
  const end = () => {
    const bottom = list.scrollHeight - list.clientHeight;
    const last = list.lastElementChild;
    return last ? Math.min(bottom, list.scrollTop + last.getBoundingClientRect().top - list.getBoundingClientRect().top) : bottom;
  };
  const follow = (force = false) => {
    atEnd ||= force;
    if (atEnd) list.scrollTop = Math.max(list.scrollTop, end());
    known = size();
  };
  // Only a reader's scrolling leaves the end. An event of another size was queued before the size changed.
  list.addEventListener("scroll", () => {
    if (size() !== known) return follow();
    atEnd = end() - list.scrollTop < 80;
  });
  new ResizeObserver(() => follow()).observe(list);
  return follow;
}
