// The thread pane: a message and its replies.

import { Composer } from "./composer.js";
import { h, iconButton } from "./dom.js";
import { MessageList } from "./messages.js";
import { messagesIn, state } from "./store.js";

const root = document.getElementById("thread");
let list;
let composer;

export function buildThread(close) {
  list = new MessageList("Thread", null);
  composer = new Composer({ id: "reply", place: () => state.place, thread: () => state.thread });
  root.append(h("header", { class: "pane-head" }, h("h2", {}, "Thread"), iconButton("close", "Close the thread", close)), list.root, composer.root);
  root.addEventListener("keydown", (event) => event.key === "Escape" && close());
}

export function renderThread() {
  root.hidden = !state.thread;
  document.body.classList.toggle("with-thread", Boolean(state.thread));
  if (!state.thread) return;
  composer.name("Reply");
  list.show(messagesIn(state.place, state.thread), "The message is gone.");
}

export const focusThread = () => composer.box.focus();
