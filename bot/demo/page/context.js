// Names for mentions, and links that stay inside the page.

import { state } from "./store.js";

/** Set by the page: `toMessage(channel, ts)` and `toAtlas()`. */
export const navigation = { toMessage: null, toAtlas: null };

const CARD = /\/archives\/(\w+)\/p(\d{10})(\d{6})/;
const ATLAS = /^http:\/\/(127\.0\.0\.1|localhost):\d+\/v2\/.*#\/clusters/;

/** Returns what a click on an internal link does, or null for an external link. */
function follow(url) {
  const card = CARD.exec(url);
  if (card) return () => navigation.toMessage(card[1], `${card[2]}.${card[3]}`);
  return ATLAS.test(url) ? () => navigation.toAtlas() : null;
}

export const context = () => ({
  me: state.me,
  user: (id) => state.about.users[id]?.name,
  channel: (id) => state.about.channels.find((one) => one.id === id)?.name,
  group: (id) => state.about.groups[id],
  follow,
});
