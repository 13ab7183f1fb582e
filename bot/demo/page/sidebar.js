// The side bar: channels, the app, and the scenarios.

import { postDemo } from "./api.js";
import { h, icon, preserveFocus } from "./dom.js";
import { channels, directMessage, isExternal, state } from "./store.js";

const root = document.getElementById("sidebar");
let actions;
let starting = "";

export function buildSidebar(handlers) {
  actions = handlers;
}

export function renderSidebar() {
  const more = root.querySelector("details")?.open ?? false;
  preserveFocus(root, () => root.replaceChildren(...content(more)));
}

function content(more) {
  const app = isExternal() ? [] : [place(directMessage(), "app", state.about.app.name)];
  return [
    h("h2", {}, "Channels"),
    h("ul", {}, channels().map((one) => place(one.id, one.kind === "private" ? "lock" : one.shared ? "link" : "hash", one.name))),
    app.length ? h("h2", {}, "Apps") : null,
    h("ul", {}, app),
    ...Object.entries(state.about.scenarios).flatMap(([group, scenarios]) => section(group, scenarios, more)),
  ].filter(Boolean);
}

function place(to, sign, name) {
  const current = state.place === to;
  const unread = state.unread.has(to);
  const label = h("span", { class: "name" }, name);
  return h("li", {}, h("button", { type: "button", class: unread ? "place unread" : "place", "aria-current": current ? "page" : null, "data-key": `place/${to}`, onclick: () => actions.go(to) },
    icon(sign), label, unread ? h("span", { class: "dot", "aria-label": "new messages", role: "img" }) : null));
}

function section(group, scenarios, open) {
  const list = h("ul", { class: "scenarios" }, scenarios.map(scenario));
  if (group !== "More") return [h("h2", {}, group), list];
  const current = scenarios.some((one) => one.name === state.demo.scenario.name);
  return [h("details", { open: open || current }, h("summary", { "data-key": "more" }, group), list)];
}

function scenario(one) {
  const play = async () => {
    starting = one.name;
    renderSidebar();
    await postDemo(`scenarios/${one.name}`);
    starting = "";
    renderSidebar();
    actions.goToOps();
  };
  const current = state.demo.scenario.name === one.name;
  return h("li", {}, h("button", { type: "button", class: "scenario-button", "aria-current": current ? "true" : null, "aria-busy": starting === one.name ? "true" : null, title: one.hint, "data-key": `scenario/${one.name}`, onclick: play }, one.title));
}
