// The main column: the scenario, a channel or the app, and the message box.

import { postDemo, sendAction } from "./api.js";
import { blocks } from "./blocks.js";
import { Composer } from "./composer.js";
import { h, icon, preserveFocus } from "./dom.js";
import { MessageList } from "./messages.js";
import { directMessage, hasEarlier, isExternal, messagesIn, state } from "./store.js";

const root = document.getElementById("channel");
const scenario = h("section", { class: "scenario", "aria-label": "Scenario" });
const clock = h("p", { class: "clock", role: "timer" });
const head = h("header", { class: "channel-head" });
const home = h("div", { class: "home", tabindex: "0", role: "region", "aria-label": "Home" });
let list;
let composer;
let actions;

/** Called once; `handlers.go(place)` and `handlers.openThread(message)` navigate. */
export function buildChannel(handlers) {
  actions = handlers;
  list = new MessageList("Messages", handlers.openThread);
  composer = new Composer({ id: "composer", place });
  root.append(scenario, head, home, list.root, composer.root);
  setInterval(tick, 1000);
}

const place = () => (state.place === "home" ? directMessage() : state.place);
export const reveal = (ts) => list.reveal(ts);
export const fillComposer = (line) => composer.fill(line);
export const scrollToEnd = () => list.follow(true);

export function renderChannel() {
  const atHome = state.place === "home";
  preserveFocus(scenario, () => scenario.replaceChildren(...scenarioBar()));
  preserveFocus(head, () => head.replaceChildren(...heading()));
  list.root.hidden = composer.root.hidden = atHome;
  home.hidden = !atHome;
  if (atHome) return renderHome();
  composer.name(`Message ${title()}`);
  return list.show(messagesIn(place()), isApp() ? "This is your direct message with the app. It posts here what you must decide or answer, and what it cannot post in a channel." : "No messages yet.");
}

const isApp = () => state.place === "home" || state.place.startsWith("D");
const channel = () => state.about.channels.find((one) => one.id === state.place);
const title = () => (isApp() ? state.about.app.name : `#${channel()?.name}`);

function heading() {
  const name = isApp() ? [icon("app"), state.about.app.name] : [icon(channel().kind === "private" ? "lock" : channel().shared ? "link" : "hash"), channel().name];
  const members = isApp() ? null : channel().members.map((id) => state.about.users[id]?.name).filter(Boolean).join(", ");
  return [h("h1", {}, name), isApp() && !isExternal() ? tabs() : null, earlier(), members ? h("p", { class: "members", title: members }, members) : null].filter(Boolean);
}

function earlier() {
  const toggle = () => {
    state.withEarlier = !state.withEarlier;
    renderChannel();
  };
  return hasEarlier(place()) ? h("button", { type: "button", class: "button small", "aria-pressed": String(state.withEarlier), onclick: toggle, "data-key": "earlier" }, "Earlier messages") : null;
}

function tabs() {
  const tab = (name, to) => h("button", { type: "button", role: "tab", "aria-selected": String(state.place === to), "data-key": `tab/${name}`, onclick: () => actions.go(to) }, name);
  return h("div", { class: "tabs", role: "tablist", "aria-label": "The app" }, tab("Home", "home"), tab("Messages", directMessage()));
}

function renderHome() {
  const view = state.homes.get(state.me);
  const nothing = h("p", { class: "empty" }, "The app has not published this tab yet.");
  preserveFocus(home, () => home.replaceChildren(...(view ? blocks(view) : [nothing])));
}

/** Opens the Home tab; as in Slack, the app gets an event. */
export const openHome = () => sendAction("opens_home", { user: state.me });

const nameOf = (user) => Object.values(state.about.users).find((one) => one.name.toLowerCase() === user).name;

/** The outcome in the thread says how long before the link the download was cancelled. */
const LEAD = /\((\d+:\d\d) min before it was expected\)/;

function leadOf(job) {
  const texts = [...state.messages.values()].flatMap((place) => [...place.values()].map((one) => JSON.stringify(one)));
  return texts.find((text) => text.includes(job) && LEAD.test(text))?.match(LEAD)[1];
}

/** Shows how long it is until the link, or how long before it the download was cancelled. */
function tick() {
  const { link_at: link, command, jobs } = state.demo;
  const job = jobs.find((one) => command.endsWith(one.id));
  const left = Math.ceil(Math.max(0, link - Date.now() / 1000));
  const texts = {
    running: () => [h("strong", {}, `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`), " until the link"],
    live: () => ["The link is live"],
    cancelled: (before = leadOf(job.id)) => (before ? ["Cancelled ", h("strong", {}, before), " before the link"] : ["Cancelled"]),
  };
  clock.className = `clock ${job?.state}`;
  clock.replaceChildren(...(command ? (link && texts[job?.state]?.()) || [] : ["Starting …"]));
}

function scenarioBar() {
  const { demo, about } = state;
  tick();
  const now = Object.values(about.scenarios).flat().find((one) => one.name === demo.scenario);
  const type = () => {
    actions.goToOps();
    composer.fill(demo.command);
  };
  return [
    h("div", { class: "scenario-text" }, h("h2", {}, now.title), h("p", {}, now.hint), demo.fault ? h("p", { class: "fault" }, icon("bolt"), demo.fault) : null),
    clock,
    h("div", { class: "scenario-buttons" },
      now.second && now.second !== state.me ? h("a", { class: "button", href: `?as=${now.second}`, target: "_blank" }, `Open a tab as ${nameOf(now.second)}`) : null,
      demo.fault ? h("button", { type: "button", class: "button", onclick: () => postDemo("clear-faults"), "data-key": "clear-faults" }, icon("tool"), "Clear the fault") : null,
      demo.command && !demo.link_at && !isExternal() ? h("button", { type: "button", class: "button primary", onclick: type, "data-key": "type" }, "Type the command for me") : null),
  ];
}
