// Keeps the keyboard focus inside a dialog.

const FOCUSABLE = "a[href], button:not([disabled]), input:not([disabled]), textarea:not([disabled]), select:not([disabled])";

export function trapFocus(dialog) {
  dialog.onkeydown = (event) => {
    if (event.key !== "Tab") return;
    const stops = [...dialog.querySelectorAll(FOCUSABLE)].filter((stop) => stop.offsetParent !== null);
    if (!stops.length) return;
    const [from, to] = event.shiftKey ? [stops[0], stops.at(-1)] : [stops.at(-1), stops[0]];
    if (document.activeElement === from || !dialog.contains(document.activeElement) || document.activeElement === dialog) {
      event.preventDefault();
      to.focus();
    }
  };
}
