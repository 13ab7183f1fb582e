// The emoji that the bot uses, as SVG by their names in Slack; some machines have no emoji font.

const SVG = "http://www.w3.org/2000/svg";
const GREEN = "#2a9d64", RED = "#d8392f", BLUE = "#3b82c4", AMBER = "#e9a820", GREY = "#8a9691", WHITE = "#ffffff";

/** Shapes in a 20 by 20 view box: a path with a fill, or with a line and its width. */
const fill = (colour, d) => ({ d, fill: colour });
const line = (colour, d, width = 2) => ({ d, fill: "none", stroke: colour, "stroke-width": width, "stroke-linecap": "round", "stroke-linejoin": "round" });
const SQUARE = "M4 1.500h12A2.500 2.500 0 0 1 18.500 4v12a2.500 2.500 0 0 1-2.500 2.500H4A2.500 2.500 0 0 1 1.500 16V4A2.500 2.500 0 0 1 4 1.500z";
const DISC = "M10 1.500a8.500 8.500 0 1 0 0 17 8.500 8.500 0 0 0 0-17z";
const CHECK = "M5.500 10.500l3 3 6-7";

export const EMOJI = {
  alarm_clock: [line(RED, "M3 4.500L5.500 2.500M17 4.500L14.500 2.500"), line(RED, "M10 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM10 7.500V11l2.500 1.500")],
  arrow_forward: [fill(BLUE, SQUARE), fill(WHITE, "M7 5.500l7.500 4.500L7 14.500z")],
  ballot_box_with_check: [fill(BLUE, SQUARE), line(WHITE, CHECK, 2.4)],
  bell: [fill(AMBER, "M10 2.500a5 5 0 0 0-5 5V12l-2 3h14l-2-3V7.500a5 5 0 0 0-5-5z"), fill(AMBER, "M8 16h4a2 2 0 0 1-4 0z")],
  eyes: [line(GREY, "M6 4c-2 0-3.500 2.700-3.500 6S4 16 6 16s3.500-2.700 3.500-6S8 4 6 4zM14 4c-2 0-3.500 2.700-3.500 6s1.500 6 3.500 6 3.500-2.700 3.500-6S16 4 14 4z", 1.6), fill(GREY, "M6.500 8.500h2.500v3H6.500zM14.500 8.500h2.500v3h-2.500z")],
  gear: [line(GREY, "M10 2v3M10 15v3M2 10h3M15 10h3M4.300 4.300l2.100 2.100M13.600 13.600l2.100 2.100M15.700 4.300l-2.100 2.100M6.400 13.600l-2.100 2.100", 2.6), line(GREY, "M10 6a4 4 0 1 0 0 8 4 4 0 0 0 0-8z", 2.8)],
  grey_question: [line(GREY, "M6.500 7a3.500 3.500 0 1 1 5.500 3c-1.500 1-2 1.500-2 3M10 16.500v.1", 2.6)],
  hourglass_flowing_sand: [fill(AMBER, "M6.500 15.500L10 11l3.500 4.500zM7.500 6h5L10 9.500z"), line(GREY, "M5 2h10M5 18h10M6 2v3.500L10 10l4-4.500V2M6 18v-3.500L10 10l4 4.500V18", 1.7)],
  inbox_tray: [line(BLUE, "M10 2v8M6.500 7l3.500 3.500L13.500 7"), line(GREY, "M2.500 12v5.500h15V12H13l-1 2.500H8L7 12z", 1.8)],
  incoming_envelope: [line(BLUE, "M2.500 5h15v10.500h-15zM2.500 5.500L10 11l7.500-5.500", 1.8)],
  information_source: [fill(BLUE, SQUARE), line(WHITE, "M10 9.500v5M10 5.700v.1", 2.6)],
  leftwards_arrow_with_hook: [fill(BLUE, SQUARE), line(WHITE, "M8 6L5 9l3 3M5 9h7a3 3 0 0 1 0 6h-2")],
  lock: [fill(AMBER, "M4 9h12v9H4z"), line(GREY, "M6.500 9V6a3.500 3.500 0 0 1 7 0v3")],
  mag: [line(BLUE, "M8.500 2.500a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM13 13l4.500 4.500", 2.4)],
  no_entry: [fill(RED, DISC), line(WHITE, "M6 10h8", 3)],
  no_entry_sign: [line(RED, "M10 2.500a7.500 7.500 0 1 0 0 15 7.500 7.500 0 0 0 0-15zM5 5l10 10", 2.4)],
  repeat: [fill(BLUE, SQUARE), line(WHITE, "M5.500 9V7.500h8M11.500 5.500l2 2-2 2M14.500 11v1.500h-8M8.500 14.500l-2-2 2-2", 1.7)],
  rotating_light: [fill(RED, "M5.500 15V10.500a4.500 4.500 0 0 1 9 0V15z"), fill(GREY, "M4 15.500h12V18H4z"), line(RED, "M10 1.500v2M3 5l1.500 1.500M17 5l-1.500 1.500", 1.8)],
  unlock: [fill(AMBER, "M4 9h12v9H4z"), line(GREY, "M6.500 9V5.500a3.500 3.500 0 0 1 7 0")],
  warning: [fill(AMBER, "M10 2l8.500 15.500h-17z"), line("#3c2b00", "M10 8v4.500M10 15v.1", 2)],
  white_check_mark: [fill(GREEN, SQUARE), line(WHITE, CHECK, 2.6)],
  x: [line(RED, "M4 4l12 12M16 4L4 16", 3.4)],
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
  svg.append(...shapes.map((shape) => made("path", shape)));
  return svg;
}

function made(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
