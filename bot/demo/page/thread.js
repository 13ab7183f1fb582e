// The thread pane: a message and its replies.

import { h, iconButton } from "./dom.js";
import { MessageList } from "./messages.js";
import { messagesIn, state } from "./store.js";

const root = document.getElementById("thread");
let list;

export function buildThread(close) {
  list = new MessageList("Thread", null);
  root.append(h("header", { class: "pane-head" }, h("h2", {}, "Thread"), iconButton("close", "Close the thread", close)), list.root);
  root.addEventListener("keydown", (event) => event.key === "Escape" && close());
}

export function renderThread() {
  root.hidden = !state.thread;
  document.body.classList.toggle("with-thread", Boolean(state.thread));
  if (state.thread) list.show(messagesIn(state.place, state.thread), "");
}

export const focusThread = () => list.root.focus();
