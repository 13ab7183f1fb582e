// Messages: author, time, blocks, and the message's actions.

import { blocks } from "./blocks.js";
import { context } from "./context.js";
import { clock, exact } from "./dates.js";
import { followEnd, h, icon } from "./dom.js";
import { mrkdwn } from "./mrkdwn.js";
import { person, repliesTo, state } from "./store.js";

/** A list that renders a message again only when it changed. */
export class MessageList {
  constructor(label, openThread) {
    this.root = h("div", { class: "messages", role: "log", "aria-label": label, tabindex: "0" });
    this.follow = followEnd(this.root);
    this.openThread = openThread;
    this.known = new Map();
  }

  /** Shows `messages`; stays scrolled to the end if it was there. */
  show(messages, empty) {
    const kept = new Map();
    for (const message of messages) kept.set(key(message), this.known.get(key(message)) ?? {});
    const nodes = messages.map((message) => this.node(message, kept.get(key(message))));
    const same = nodes.length === this.root.children.length && nodes.every((node, at) => node === this.root.children[at]);
    this.known = kept;
    if (!same || !nodes.length) this.replace(nodes.length ? nodes : [h("p", { class: "empty" }, empty)]);
    this.follow();
  }

  /** Shows other nodes; the focus stays where it was. */
  replace(nodes) {
    const focused = document.activeElement?.dataset?.key;
    this.root.replaceChildren(...nodes);
    if (focused && document.activeElement === document.body) this.root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  node(message, entry) {
    const replies = this.openThread && !message.subtype ? repliesTo(message).length : 0;
    const signature = JSON.stringify([message, replies, state.me]);
    if (entry.signature !== signature) Object.assign(entry, { signature, node: render(message, replies, this.openThread) });
    return entry.node;
  }

  /** Scrolls to one message and highlights it for two seconds. */
  reveal(ts) {
    const node = this.root.querySelector(`[data-ts="${ts}"]`);
    node?.scrollIntoView({ block: "center" });
    node?.classList.add("revealed");
    setTimeout(() => node?.classList.remove("revealed"), 2000);
  }
}

const key = (message) => `${message.only_for ?? ""}/${message.ts}`;

function render(message, replies, openThread) {
  const author = authorOf(message);
  const body = message.blocks?.length ? blocks(message) : [mrkdwn(message.text ?? "", context())];
  return h("article", { class: message.is_ephemeral ? "message private" : "message", "data-ts": message.ts, "aria-label": `${author.name}, ${clock(message.ts)}` },
    avatar(author),
    h("div", { class: "content" },
      message.is_ephemeral ? h("p", { class: "only-you" }, icon("eye"), "Only visible to you") : null,
      openThread && message.subtype ? h("p", { class: "in-thread" }, "replied to ", h("button", { type: "button", onclick: () => openThread(message), "data-key": `thread/${message.ts}` }, "a thread")) : null,
      h("div", { class: "head" },
        h("span", { class: "author" }, author.name),
        author.app ? h("span", { class: "badge" }, "APP") : null,
        h("time", { datetime: new Date(message.ts * 1000).toISOString(), title: exact(message.ts) }, clock(message.ts)),
        message.edited ? h("span", { class: "edited", title: `Edited at ${exact(message.edited.ts)}` }, "(edited)") : null),
      h("div", { class: "text" }, body),
      replies ? h("button", { type: "button", class: "replies", onclick: () => openThread(message), "data-key": `replies/${message.ts}` }, icon("thread"), replies === 1 ? "1 reply" : `${replies} replies`) : null));
}

function authorOf(message) {
  if (message.bot_id) return { name: state.about.app.name, app: true, id: message.user };
  if (message.user === "USLACKBOT") return { name: "Slack", app: true, id: "slack" };
  return { name: person(message.user)?.name ?? message.user, id: message.user };
}

/** A square with the first letter, in a colour per person. */
export function avatar({ id, name, app }) {
  const tone = [...id].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 6;
  return h("span", { class: app ? "avatar app" : `avatar tone-${tone}`, "aria-hidden": "true" }, app ? icon("app") : name[0].toUpperCase());
}
