// Schedules rendering. While a pointer is pressed nothing is rendered: a button that is replaced
// between press and release gets no click.

/** Milliseconds in which the click follows the release; on a touch screen it is an event of its own. */
const CLICK_WITHIN = 100;

let renderers = {};
const pending = new Set();
let pressed = false;
let released;

/** Called once; `functions` has the function that renders a part, by the part's name. */
export function buildSchedule(functions) {
  renderers = functions;
  addEventListener("pointerdown", press, true);
  addEventListener("click", release, true);
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { released = setTimeout(release, CLICK_WITHIN); }, true);
}

/** Schedules these parts for rendering; several changes render a part once. */
export function render(...parts) {
  if (!pending.size) setTimeout(() => pressed || renderPending());
  parts.forEach((part) => pending.add(part));
}

/** Renders the scheduled parts now. */
export function renderPending() {
  const now = [...pending];
  pending.clear();
  now.forEach((part) => renderers[part]());
}

export const renderAll = () => render(...Object.keys(renderers));

/** Not for a select: its list takes the release. */
function press(event) {
  if (event.button !== 0 || !event.target.closest("button, a, label, summary")) return;
  clearTimeout(released);
  pressed = true;
}

function release() {
  clearTimeout(released);
  pressed = false;
  if (pending.size) setTimeout(renderPending);
}
