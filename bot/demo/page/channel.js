// The main column: the scenario, a channel or the app, and the message box.

import { postDemo } from "./api.js";
import { Composer } from "./composer.js";
import { h, icon, preserveFocus } from "./dom.js";
import { MessageList } from "./messages.js";
import { hasEarlier, messagesIn, state } from "./store.js";

const root = document.getElementById("channel");
const scenario = h("section", { class: "scenario", "aria-label": "Scenario" });
const clock = h("p", { class: "clock", role: "timer" });
const head = h("header", { class: "channel-head" });
let list;
let composer;

/** Called once; `handlers.go(place)` and `handlers.openThread(message)` navigate. */
export function buildChannel(handlers) {
  list = new MessageList("Messages", handlers.openThread);
  composer = new Composer();
  root.append(scenario, head, list.root, composer.root);
  setInterval(tick, 1000);
}

const place = () => state.place;
export const reveal = (ts) => list.reveal(ts);
export const fillComposer = (line) => composer.fill(line);
export const scrollToEnd = () => list.follow(true);

export function renderChannel() {
  preserveFocus(scenario, () => scenario.replaceChildren(...scenarioBar()));
  preserveFocus(head, () => head.replaceChildren(...heading()));
  composer.name(title());
  return list.show(messagesIn(place()), isApp() ? "This is your direct message with the app. It posts here what it cannot post in a channel." : "No messages yet.");
}

const isApp = () => state.place.startsWith("D");
const channel = () => state.about.channels.find((one) => one.id === state.place);
const title = () => (isApp() ? state.about.app.name : `#${channel()?.name}`);

function heading() {
  const name = isApp() ? [icon("app"), state.about.app.name] : [icon(channel().kind === "private" ? "lock" : channel().shared ? "link" : "hash"), channel().name];
  const members = isApp() ? null : channel().members.map((id) => state.about.users[id]?.name).filter(Boolean).join(", ");
  return [h("h1", {}, name), earlier(), members ? h("p", { class: "members", title: members }, members) : null].filter(Boolean);
}

function earlier() {
  const toggle = () => {
    state.withEarlier = !state.withEarlier;
    renderChannel();
  };
  return hasEarlier(place()) ? h("button", { type: "button", class: "button small", "aria-pressed": String(state.withEarlier), onclick: toggle, "data-key": "earlier" }, "Earlier messages") : null;
}

const nameOf = (user) => Object.values(state.about.users).find((one) => one.name.toLowerCase() === user).name;

/** Shows how long it is until the link, or that the download is cancelled. */
function tick() {
  const { link_at: link, command, jobs } = state.demo;
  const job = jobs.find((one) => command.endsWith(one.id));
  const left = Math.ceil(Math.max(0, link - Date.now() / 1000));
  const texts = {
    running: () => [h("strong", {}, `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`), " until the link"],
    live: () => ["The link is live"],
    cancelled: () => ["Cancelled"],
  };
  clock.className = `clock ${job?.state}`;
  clock.replaceChildren(...(command ? (link && texts[job?.state]?.()) || [] : ["Starting …"]));
}

function scenarioBar() {
  const { demo } = state;
  const now = demo.scenario;
  tick();
  return [
    h("div", { class: "scenario-text" }, h("h2", {}, now.title), h("p", {}, now.hint), demo.fault ? h("p", { class: "fault" }, icon("bolt"), demo.fault) : null),
    clock,
    h("div", { class: "scenario-buttons" },
      now.second && nameOf(now.second) !== state.about.users[state.me].name ? h("a", { class: "button", href: `?as=${now.second}`, target: "_blank" }, `Open a tab as ${nameOf(now.second)}`) : null,
      demo.fault ? h("button", { type: "button", class: "button", onclick: () => postDemo("clear-faults"), "data-key": "clear-faults" }, icon("tool"), "Clear the fault") : null),
  ];
}
