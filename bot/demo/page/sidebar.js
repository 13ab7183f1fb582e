// Where one can go: channels, the app, and the scenes.

import { demo } from "./api.js";
import { h, icon, keepingFocus } from "./dom.js";
import { channels, directMessage, isStranger, state } from "./store.js";

const root = document.getElementById("sidebar");
let ways;
let playing = "";

export function buildSidebar(given) {
  ways = given;
}

export function drawSidebar() {
  const more = root.querySelector("details")?.open ?? false;
  keepingFocus(root, () => root.replaceChildren(...content(more)));
}

function content(more) {
  const app = isStranger() ? [] : [place("home", "app", state.about.app.name, ["home", directMessage()])];
  return [
    h("h2", {}, "Channels"),
    h("ul", {}, channels().map((one) => place(one.id, one.kind === "private" ? "lock" : one.shared ? "link" : "hash", one.name, [one.id]))),
    app.length ? h("h2", {}, "Apps") : null,
    h("ul", {}, app),
    ...Object.entries(state.about.scenes).flatMap(([group, scenes]) => section(group, scenes, more)),
  ].filter(Boolean);
}

function place(to, sign, name, own) {
  const current = own.includes(state.place);
  const unread = own.some((id) => state.unread.has(id));
  const label = h("span", { class: "name" }, name);
  return h("li", {}, h("button", { type: "button", class: unread ? "place unread" : "place", "aria-current": current ? "page" : null, "data-key": `place/${to}`, onclick: () => ways.go(unread && to === "home" ? directMessage() : to) },
    icon(sign), label, unread ? h("span", { class: "dot", "aria-label": "new messages", role: "img" }) : null));
}

function section(group, scenes, open) {
  const list = h("ul", { class: "scenes" }, scenes.map(scene));
  if (group !== "More faults") return [h("h2", {}, group), list];
  const current = scenes.some((one) => one.name === state.stage.scene);
  return [h("details", { open: open || current }, h("summary", { "data-key": "more-faults" }, group), list)];
}

function scene(one) {
  const play = async () => {
    playing = one.name;
    drawSidebar();
    await demo(`scenes/${one.name}`);
    playing = "";
    drawSidebar();
    ways.goToOps();
  };
  const current = state.stage.scene === one.name;
  return h("li", {}, h("button", { type: "button", class: "scene-button", "aria-current": current ? "true" : null, "aria-busy": playing === one.name ? "true" : null, title: one.hint, "data-key": `scene/${one.name}`, "data-scene": one.name, onclick: play }, one.title));
}
