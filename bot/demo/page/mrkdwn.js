// Renders Slack's mrkdwn; everything that is not markup becomes a text node.

import { exact, formatDate } from "./dates.js";
import { h } from "./dom.js";
import { withEmoji } from "./emoji.js";

const ENTITIES = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };
const unescape = (text) => text.replace(/&(lt|gt|amp);/g, (entity) => ENTITIES[entity]);

/** Inline marks and their elements. */
const MARKS = { "*": "strong", _: "em", "~": "s" };
const PIECES = /```([\s\S]+?)```|`([^`\n]+)`|<([^<>\n]+)>|(?<![\p{L}\p{N}*_~])([*_~])(?=\S)(.+?)(?<=\S)\4(?![\p{L}\p{N}*_~])/gu;

/**
 * Renders a text.
 *
 * `context`: `user(id)`, `channel(id)`, `group(id)` give names, `me` is the reader,
 * `follow(url)` returns the click handler of an internal link, or null.
 */
export function mrkdwn(text, context) {
  const lines = text.split("\n");
  const parts = [];
  for (let at = 0; at < lines.length; ) {
    const quoted = isQuote(lines[at]);
    let end = at + 1;
    while (end < lines.length && isQuote(lines[end]) === quoted) end += 1;
    const block = lines.slice(at, end);
    parts.push(quoted ? h("blockquote", {}, inline(block.map(unquoted).join("\n"), context)) : h("span", {}, inline(block.join("\n"), context)));
    at = end;
  }
  return h("div", { class: "mrkdwn" }, ...parts);
}

const isQuote = (line) => /^(>|&gt;)/.test(line);
const unquoted = (line) => line.replace(/^(>|&gt;) ?/, "");

/** Plain text with emoji. */
export const plain = (text) => withEmoji(text);

function inline(text, context) {
  const nodes = [];
  let at = 0;
  for (const found of text.matchAll(PIECES)) {
    nodes.push(words(text.slice(at, found.index)));
    nodes.push(piece(found, context));
    at = found.index + found[0].length;
  }
  return [...nodes, words(text.slice(at))];
}

const words = (text) => withEmoji(unescape(text));

function piece([, block, code, angled, mark, marked], context) {
  if (block) return h("pre", {}, unescape(block));
  if (code) return h("code", {}, unescape(code));
  if (angled) return inAngles(angled, context);
  return h(MARKS[mark], {}, inline(marked, context));
}

function inAngles(inside, context) {
  const [target, label] = split(inside, "|");
  const id = target.slice(1);
  if (target.startsWith("@")) return mention("@", context.user(id) ?? label ?? id, id === context.me);
  if (target.startsWith("#")) return mention("#", context.channel(id) ?? label ?? id, false);
  if (target.startsWith("!")) return special(id, label, context);
  return link(target, label, context);
}

function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

const mention = (sign, name, mine) => h("span", { class: mine ? "mention mine" : "mention" }, `${sign}${unescape(name)}`);

function special(command, label, context) {
  const [name, ...rest] = command.split("^");
  if (name === "date") return date(rest, label);
  if (name === "subteam") return mention("@", context.group(rest[0]) ?? label ?? rest[0], false);
  return mention("@", label ?? name, true);
}

function date([seconds, format], fallback) {
  const moment = new Date(Number(seconds) * 1000);
  if (!format || Number.isNaN(moment.getTime())) return unescape(fallback ?? "");
  return h("time", { datetime: moment.toISOString(), title: exact(Number(seconds)) }, formatDate(Number(seconds), format));
}

/** A link; other schemes than http, https and mailto are shown as text. */
function link(escaped, label, context) {
  const url = unescape(escaped);
  const shown = words(label ?? escaped);
  if (!/^(https?:|mailto:)/.test(url)) return shown;
  const follow = context.follow(url);
  if (follow) return h("a", { href: url, onclick: (event) => { event.preventDefault(); follow(); } }, shown);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, shown);
}
