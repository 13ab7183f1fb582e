// The emoji that the bot uses, as SVG by their names in Slack; some machines have no emoji font.

const SVG = "http://www.w3.org/2000/svg";

/** Paths in a 20 by 20 view box, by the names of their classes in the style sheet. */
const EMOJI = {
  rotating_light: {
    lamp: "M5.500 15V10.500a4.500 4.500 0 0 1 9 0V15z",
    foot: "M4 15.500h12V18H4z",
    rays: "M10 1.500v2M3 5l1.500 1.500M17 5l-1.500 1.500",
  },
};

/** Replaces emoji names by drawings; unknown names stay as text, as in Slack. */
export function withEmoji(text) {
  return text.split(/(:[a-z0-9_+-]+:)/).filter(Boolean).map((part) => {
    const shapes = part.startsWith(":") && EMOJI[part.slice(1, -1)];
    return shapes ? drawing(part.slice(1, -1), shapes) : part;
  });
}

function drawing(name, shapes) {
  const svg = made("svg", { viewBox: "0 0 20 20", class: "emoji", role: "img", "aria-label": name.replaceAll("_", " ") });
  svg.append(...Object.entries(shapes).map(([part, d]) => made("path", { class: part, d })));
  return svg;
}

function made(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
