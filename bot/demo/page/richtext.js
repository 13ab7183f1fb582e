// Block Kit's rich text as elements.

import { formatDate } from "./dates.js";
import { h } from "./dom.js";
import { link } from "./mrkdwn.js";
import { withEmoji } from "./emoji.js";

const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** Renders a rich_text block; `unknown(type)` renders the error for other types. */
export function richText(block, context, unknown) {
  return h("div", { class: "rich" }, block.elements.map((part) => section(part, context, unknown)));
}

function section(part, context, unknown) {
  const inside = () => part.elements.map((piece) => element(piece, context, unknown));
  if (part.type === "rich_text_section") return h("p", {}, inside());
  if (part.type === "rich_text_quote") return h("blockquote", {}, inside());
  if (part.type === "rich_text_preformatted") return h("pre", {}, inside());
  if (part.type === "rich_text_list") {
    const items = part.elements.map((item) => h("li", {}, section(item, context, unknown)));
    return h(part.style === "ordered" ? "ol" : "ul", {}, items);
  }
  return unknown(part.type);
}

function element(piece, context, unknown) {
  if (piece.type === "text") return styled(withEmoji(piece.text), piece.style);
  if (piece.type === "emoji") return withEmoji(`:${piece.name}:`);
  if (piece.type === "link") return link(escape(piece.url), escape(piece.text ?? piece.url), context);
  if (piece.type === "date") return formatDate(piece.timestamp, piece.format);
  const names = { user: context.user(piece.user_id), channel: context.channel(piece.channel_id), usergroup: context.group(piece.usergroup_id), broadcast: piece.range };
  if (!(piece.type in names)) return unknown(piece.type);
  const sign = piece.type === "channel" ? "#" : "@";
  return h("span", { class: "mention" }, `${sign}${names[piece.type] ?? "?"}`);
}

function styled(text, style = {}) {
  const tags = { bold: "strong", italic: "em", strike: "s", code: "code" };
  return Object.entries(tags).reduce((inner, [name, tag]) => (style[name] ? h(tag, {}, inner) : inner), text);
}
