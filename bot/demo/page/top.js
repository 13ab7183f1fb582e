// The bar at the top: who one is, how the bot is, and how the page looks.

import { demo } from "./api.js";
import { h, iconButton, keepingFocus } from "./dom.js";
import { avatar } from "./messages.js";
import { person, state } from "./store.js";

const root = document.getElementById("top");
const WORDS = { running: "The bot runs", starting: "The bot starts …", stopped: "The bot is dead" };
let ways;

export function buildTop(given) {
  ways = given;
}

export function drawTop() {
  keepingFocus(root, () => root.replaceChildren(...content()));
}

function content() {
  return [
    iconButton("menu", "Channels and scenes", ways.toggleSidebar, { class: "icon-button only-narrow", "data-key": "menu" }),
    h("p", { class: "brand" }, h("img", { src: "/page/icon.svg", alt: "", width: 24, height: 24 }), h("span", {}, "cancel-restore"), h("span", { class: "tag" }, "demo")),
    who(),
    bot(),
    iconButton(isDark() ? "sun" : "moon", isDark() ? "Light theme" : "Dark theme", toggleTheme, { "data-key": "theme" }),
    iconButton("wire", "What goes over the wire", ways.toggleWire, { "data-key": "wire", "aria-pressed": String(ways.wireIsOpen()) }),
  ];
}

function who() {
  const people = Object.entries(state.about.users).filter(([, one]) => one.role);
  const me = person(state.me);
  return h("label", { class: "who-select" }, avatar({ id: state.me, name: me.name }), h("span", { class: "you" }, "You are"),
    h("select", { "aria-label": "You are", "data-key": "who", onchange: (event) => ways.become(event.target.value) },
      people.map(([id, one]) => h("option", { value: id, selected: id === state.me }, `${one.name} · ${one.role}`))));
}

function bot() {
  const { bot: now, pid, approvals } = state.stage;
  const kill = () => demo("bot/kill");
  const start = () => demo("bot/start");
  const needs = approvals ? `${approvals} ${approvals === 1 ? "approval" : "approvals"}` : "no approvals";
  return h("div", { class: `bot ${now}` },
    h("span", { class: "bot-state", title: pid ? `Process ${pid}, ${needs}` : "" }, h("span", { class: "light" }), h("span", { class: "bot-words", role: "status" }, WORDS[now])),
    now === "stopped"
      ? h("button", { type: "button", class: "button small primary", onclick: start, "data-key": "bot" }, "Start", h("span", { class: "wide" }, " it again"))
      : h("button", { type: "button", class: "button small", disabled: now === "starting", onclick: kill, "data-key": "bot", title: "kill -9, for real" }, "Kill", h("span", { class: "wide" }, " the bot")));
}

const wanted = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (wanted.matches ? "dark" : "light")) === "dark";

function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  drawTop();
}

/** Takes the theme that was chosen before, in this browser. */
export function restoreTheme() {
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
  wanted.addEventListener("change", drawTop);
}
