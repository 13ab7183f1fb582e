// The page's state: loaded once, changed by each event, read by the renderers.

/** `place` is a channel's id; `thread` is the `ts` of the open thread's first message. */
export const state = {
  about: null,
  demo: null,
  me: "",
  place: "",
  thread: "",
  calls: [],
  messages: new Map(),
  ephemerals: new Map(),
  views: new Map(),
  errors: new Map(),
  drafts: new Map(),
  unread: new Set(),
  withEarlier: false,
};

/** Replaces the whole state by what was fetched. */
export function fill({ seen, about }) {
  state.about = about;
  state.demo = about.demo;
  state.calls = about.calls;
  state.messages = new Map(Object.entries(seen.channels).map(([id, list]) => [id, byTs(list)]));
  for (const [user, person] of Object.entries(seen.people)) {
    state.ephemerals.set(user, byTs(person.ephemerals));
    state.views.set(user, person.view);
  }
}

const byTs = (list) => new Map(list.map((message) => [message.ts, message]));

/** Applies one event and returns the parts of the page to render. */
export function apply(kind, data) {
  return CHANGES[kind](data) ?? [];
}

const CHANGES = {
  message: ({ message }) => {
    const place = state.messages.get(message.channel) ?? new Map();
    state.messages.set(message.channel, place.set(message.ts, message));
    if (message.channel !== state.place && message.user !== state.me) state.unread.add(message.channel);
    return ["sidebar", "channel", "thread"];
  },
  message_changed: ({ message }) => {
    state.messages.get(message.channel)?.set(message.ts, message);
    return ["channel", "thread"];
  },
  ephemeral: ({ message }) => {
    const mine = state.ephemerals.get(message.only_for) ?? new Map();
    state.ephemerals.set(message.only_for, mine.set(message.ts, message));
    return ["channel", "thread"];
  },
  view: ({ user, view }) => {
    state.views.set(user, view);
    return ["modal"];
  },
  view_closed: ({ user }) => {
    state.views.set(user, null);
    return ["modal"];
  },
  call_log: ({ entry }) => {
    if (!state.calls.some((known) => known.n === entry.n)) state.calls.push(entry);
    return ["calls"];
  },
  demo: (demo) => {
    if (demo.since !== state.demo.since) {
      state.withEarlier = false;
      state.thread = "";
      state.unread.clear();
    }
    state.demo = demo;
    return ["top", "sidebar", "channel", "thread", "calls", "modal"];
  },
};

/** The dialog on the current person's screen. */
export const openView = () => state.views.get(state.me);
export const person = (id) => state.about.users[id];
export const isExternal = () => person(state.me).team !== state.about.team.id;
export const directMessage = () => `D${state.me.slice(1)}`;

/** The channels of the current person, without archived ones. */
export function channels() {
  return state.about.channels.filter((one) => one.kind !== "im" && !one.archived && one.members.includes(state.me));
}

/** The messages of a place before the current scenario, and replies to them, are shown on request only. */
export const isEarlier = (message) => Number(message.thread_ts ?? message.ts) < Number(state.demo.since);
export const hasEarlier = (place) => [...(state.messages.get(place)?.values() ?? [])].some(isEarlier);

/** The messages that the current person sees in a channel, or in one of its threads, oldest first. */
export function messagesIn(place, thread = "") {
  const all = [...(state.messages.get(place)?.values() ?? [])];
  const ephemeral = [...(state.ephemerals.get(state.me)?.values() ?? [])].filter((one) => one.channel === place);
  const shown = (one) => state.withEarlier || !isEarlier(one);
  const inChannel = (one) => !one.thread_ts || one.thread_ts === one.ts || one.subtype === "thread_broadcast";
  const there = (one) => (thread ? one.thread_ts === thread || one.ts === thread : shown(one) && inChannel(one));
  return [...all, ...ephemeral].filter(there).sort((a, b) => Number(a.ts) - Number(b.ts));
}

export const repliesTo = (message) => messagesIn(message.channel, message.ts).filter((one) => one.ts !== message.ts);
