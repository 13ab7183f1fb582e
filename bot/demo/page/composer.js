// The message box, with completion of the command and a history.

import { sendAction } from "./api.js";
import { h, iconButton, newId, toast } from "./dom.js";
import { isExternal, person, state } from "./store.js";

const MAX_HISTORY = 50;
const history = { lines: read(), at: -1, draft: "" };

function read() {
  try {
    return JSON.parse(sessionStorage.getItem("history")) ?? [];
  } catch {
    return []; // without storage the history is empty
  }
}

function remember(line) {
  history.lines = [line, ...history.lines.filter((known) => known !== line)].slice(0, MAX_HISTORY);
  history.at = -1;
  sessionStorage.setItem("history", JSON.stringify(history.lines));
}

/** A message box for `place()`; in a thread, `thread()` is the `ts` of its first message. */
export class Composer {
  constructor({ id, place, thread = () => "" }) {
    this.place = place;
    this.thread = thread;
    const hint = newId("usage");
    this.usage = h("div", { class: "usage", id: hint });
    this.box = h("textarea", { id, class: "box", rows: 1, autocomplete: "off", spellcheck: "false", "aria-describedby": hint, "data-key": `composer/${id}` });
    this.box.addEventListener("input", () => this.changed());
    this.box.addEventListener("keydown", (event) => this.key(event));
    const send = h("form", { class: "composer", onsubmit: (event) => { event.preventDefault(); this.send(); } }, this.usage, h("div", { class: "line" }, this.box, iconButton("send", "Send", null, { type: "submit" })));
    this.root = send;
  }

  /** Sets the label of the box. */
  name(label) {
    this.box.setAttribute("aria-label", label);
    this.box.placeholder = this.thread() ? label : `${label}, or / for commands`;
  }

  /** Puts a line into the box without sending it. */
  fill(line) {
    this.box.value = line;
    this.changed();
    this.box.focus();
    this.box.setSelectionRange(line.length, line.length);
  }

  changed() {
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(this.box.scrollHeight, 160)}px`;
    const typed = this.box.value.trimStart();
    const word = typed.split(/\s/)[0];
    const fits = typed.startsWith("/") && !this.thread() ? state.about.commands.filter((command) => command.name.startsWith(word)) : [];
    this.usage.replaceChildren(...fits.map((command) => this.row(command, typed)));
  }

  row(command, typed) {
    const complete = () => this.fill(`${command.name} `);
    const done = typed.startsWith(command.name);
    const text = [h("strong", {}, command.name), h("code", {}, command.usage), h("span", {}, command.about)];
    return done ? h("p", {}, text) : h("button", { type: "button", onclick: complete }, text, h("kbd", {}, "Tab"));
  }

  key(event) {
    const offered = this.usage.querySelector("button");
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.send();
    } else if (event.key === "Tab" && offered && !event.shiftKey) {
      event.preventDefault();
      offered.click();
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      if (this.browse(event.key === "ArrowUp" ? 1 : -1)) event.preventDefault();
    }
  }

  /** Moves through the history; returns whether there was an entry. */
  browse(step) {
    if (this.box.value.includes("\n")) return false;
    const at = history.at + step;
    if (at < -1 || at >= history.lines.length) return false;
    if (history.at === -1) history.draft = this.box.value;
    history.at = at;
    this.fill(at === -1 ? history.draft : history.lines[at]);
    return true;
  }

  async send() {
    const line = this.box.value.trim();
    if (!line) return;
    if (line.startsWith("/") && this.thread()) return toast("Slash commands cannot be used in a thread.");
    if (line.startsWith("/") && isExternal()) return toast(`${person(state.me).name} is from another organization and cannot use this workspace's commands.`);
    remember(line);
    this.box.value = "";
    this.changed();
    const where = { user: state.me, channel: this.place() };
    if (!line.startsWith("/")) return sendAction("says", { ...where, text: asSent(line), thread_ts: this.thread() });
    const ack = await sendAction("types", { ...where, line });
    if (ack.error === "invalid_command" || ack.message) toast(ack.message ?? `${line.split(/\s/)[0]} is not a command here.`);
    return ack;
  }
}

/** Converts text as Slack stores it: markup characters escaped, addresses as links. */
function asSent(text) {
  const escaped = text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  return escaped.replace(/https?:\/\/[^\s|]+/g, (url) => `<${url}>`);
}
