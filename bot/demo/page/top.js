// The top bar: the current person, the bot's state, and the theme.

import { postDemo } from "./api.js";
import { h, iconButton, preserveFocus } from "./dom.js";
import { avatar } from "./messages.js";
import { person, state } from "./store.js";

const root = document.getElementById("top");
const WORDS = { running: "The bot is running", starting: "The bot is starting …", stopped: "The bot is stopped" };
let actions;

export function buildTop(handlers) {
  actions = handlers;
}

export function renderTop() {
  preserveFocus(root, () => root.replaceChildren(...content()));
}

function content() {
  return [
    iconButton("menu", "Channels and scenarios", actions.toggleSidebar, { class: "icon-button only-narrow", "data-key": "menu" }),
    h("p", { class: "brand" }, h("img", { src: "/page/icon.svg", alt: "", width: 24, height: 24 }), h("span", {}, "cancel-restore"), h("span", { class: "tag" }, "demo")),
    personSelect(),
    bot(),
    iconButton(isDark() ? "sun" : "moon", isDark() ? "Light theme" : "Dark theme", toggleTheme, { "data-key": "theme" }),
    iconButton("calls", "Calls to Atlas and Slack", actions.toggleCalls, { "data-key": "calls", "aria-pressed": String(actions.callsAreOpen()) }),
  ];
}

function personSelect() {
  const people = Object.entries(state.about.users).filter(([, one]) => one.role);
  const me = person(state.me);
  return h("label", { class: "who-select" }, avatar({ id: state.me, name: me.name }), h("span", { class: "you" }, "You are"),
    h("select", { "aria-label": "You are", "data-key": "who", onchange: (event) => actions.switchPerson(event.target.value) },
      people.map(([id, one]) => h("option", { value: id, selected: id === state.me }, `${one.name} · ${one.role}`))));
}

function bot() {
  const { bot: now, pid, approvals } = state.demo;
  const kill = () => postDemo("bot/kill");
  const start = () => postDemo("bot/start");
  const needs = approvals ? `${approvals} ${approvals === 1 ? "approval" : "approvals"}` : "no approvals";
  return h("div", { class: `bot ${now}` },
    h("span", { class: "bot-state", title: pid ? `Process ${pid}, ${needs}` : "" }, h("span", { class: "light" }), h("span", { class: "bot-words", role: "status" }, WORDS[now])),
    now === "stopped"
      ? h("button", { type: "button", class: "button small primary", onclick: start, "data-key": "bot" }, "Start bot")
      : h("button", { type: "button", class: "button small", disabled: now === "starting", onclick: kill, "data-key": "bot", title: "Send SIGKILL to the bot's process" }, "Kill bot"));
}

const wanted = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (wanted.matches ? "dark" : "light")) === "dark";

function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  renderTop();
}

/** Applies the theme that was selected before in this browser. */
export function restoreTheme() {
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
  wanted.addEventListener("change", renderTop);
}
