// The box in which people type commands, with the command's usage.

import { sendAction } from "./api.js";
import { h, iconButton, toast } from "./dom.js";
import { isExternal, person, state } from "./store.js";

export class Composer {
  constructor() {
    this.usage = h("div", { class: "usage", id: "usage" });
    this.box = h("textarea", { id: "composer", class: "box", rows: 1, autocomplete: "off", spellcheck: "false", "aria-describedby": "usage" });
    this.box.addEventListener("input", () => this.changed());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.root = h("form", { class: "composer", onsubmit: (event) => { event.preventDefault(); this.send(); } }, this.usage, h("div", { class: "line" }, this.box, iconButton("send", "Send", null, { type: "submit" })));
  }

  /** Names the channel. */
  name(channel) {
    this.box.setAttribute("aria-label", `Command in ${channel}`);
    this.box.placeholder = `${state.about.command.name} in ${channel}`;
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
    const { name, usage, about } = state.about.command;
    const typed = this.box.value.trimStart();
    const fits = typed.startsWith("/") && name.startsWith(typed.split(/\s/)[0]);
    const text = [h("strong", {}, name), h("code", {}, usage), h("span", {}, about)];
    const complete = () => this.fill(`${name} `);
    this.usage.replaceChildren(...(!fits ? [] : typed.startsWith(name) ? [h("p", {}, text)] : [h("button", { type: "button", onclick: complete }, text, h("kbd", {}, "Tab"))]));
  }

  key(event) {
    const offered = this.usage.querySelector("button");
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.send();
    } else if (event.key === "Tab" && offered && !event.shiftKey) {
      event.preventDefault();
      offered.click();
    }
  }

  async send() {
    const line = this.box.value.trim();
    if (!line) return;
    if (!line.startsWith("/")) return toast(`The demo takes only commands: type ${state.about.command.name} help`);
    if (isExternal()) return toast(`${person(state.me).name} is from another organization and cannot use this workspace's commands.`);
    this.box.value = "";
    this.changed();
    const ack = await sendAction("types", { user: state.me, channel: state.place, line });
    if (ack.error === "invalid_command" || ack.message) toast(ack.message ?? `${line.split(/\s/)[0]} is not a command here.`);
  }
}
