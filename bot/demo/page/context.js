// Names for mentions, and where links lead inside the page.

import { state } from "./store.js";

/** Set by the page: `toMessage(channel, ts)` and `toAtlas()`. */
export const ways = { toMessage: null, toAtlas: null };

const CARD = /\/archives\/(\w+)\/p(\d{10})(\d{6})/;
const ATLAS = /^http:\/\/(127\.0\.0\.1|localhost):\d+\/v2\/.*#\/clusters/;

/** What a click on a link does in here; nothing for a link that leads elsewhere. */
export function follow(url) {
  const card = CARD.exec(url);
  if (card) return () => ways.toMessage(card[1], `${card[2]}.${card[3]}`);
  return ATLAS.test(url) ? () => ways.toAtlas() : null;
}

export const context = () => ({
  me: state.me,
  user: (id) => state.about.users[id]?.name,
  channel: (id) => state.about.channels.find((one) => one.id === id)?.name,
  group: (id) => state.about.groups[id],
  follow,
});
