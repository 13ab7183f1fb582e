// The middle of the page: the scene, a channel or the app, and the message box.

import { act, demo } from "./api.js";
import { blocks } from "./blocks.js";
import { Composer } from "./composer.js";
import { h, icon, keepingFocus } from "./dom.js";
import { MessageList } from "./messages.js";
import { directMessage, isStranger, messagesIn, person, state } from "./store.js";

const root = document.getElementById("channel");
const scene = h("section", { class: "scene", "aria-label": "Scene" });
const head = h("header", { class: "channel-head" });
const home = h("div", { class: "home", tabindex: "0", role: "region", "aria-label": "Home" });
let list;
let composer;
let ways;

/** Builds it once; `given.go(place)` and `given.openThread(message)` lead elsewhere. */
export function buildChannel(given) {
  ways = given;
  list = new MessageList("Messages", given.openThread);
  composer = new Composer({ id: "composer", place });
  root.append(scene, head, home, list.root, composer.root);
}

const place = () => (state.place === "home" ? directMessage() : state.place);
export const reveal = (ts) => list.reveal(ts);
export const fillComposer = (line) => composer.fill(line);
export const toTheEnd = () => { list.root.scrollTop = list.root.scrollHeight; };

export function drawChannel() {
  const atHome = state.place === "home";
  keepingFocus(scene, () => scene.replaceChildren(...sceneLine()));
  keepingFocus(head, () => head.replaceChildren(...heading()));
  list.root.hidden = composer.root.hidden = atHome;
  home.hidden = !atHome;
  if (atHome) return drawHome();
  composer.name(`Message ${title()}`);
  return list.show(messagesIn(place()), isApp() ? "This is your direct message with the app. What it cannot say in a channel, it says here." : "Nothing has been said here.");
}

const isApp = () => state.place === "home" || state.place.startsWith("D");
const channel = () => state.about.channels.find((one) => one.id === state.place);
const title = () => (isApp() ? state.about.app.name : `#${channel()?.name}`);

function heading() {
  const name = isApp() ? [icon("app"), state.about.app.name] : [icon(channel().kind === "private" ? "lock" : channel().shared ? "link" : "hash"), channel().name];
  const members = isApp() ? null : channel().members.map((id) => state.about.users[id]?.name).filter(Boolean).join(", ");
  return [h("h1", {}, name), isApp() && !isStranger() ? tabs() : null, members ? h("p", { class: "members", title: members }, members) : null].filter(Boolean);
}

function tabs() {
  const tab = (name, to) => h("button", { type: "button", role: "tab", "aria-selected": String(state.place === to), "data-key": `tab/${name}`, onclick: () => ways.go(to) }, name);
  return h("div", { class: "tabs", role: "tablist", "aria-label": "The app" }, tab("Home", "home"), tab("Messages", directMessage()));
}

function drawHome() {
  const view = state.homes.get(state.me);
  const nothing = h("p", { class: "empty" }, "The app has put nothing on this tab yet.");
  keepingFocus(home, () => home.replaceChildren(...(view ? blocks(view) : [nothing])));
}

/** Opens the Home tab as Slack does: the app hears of it. */
export const openHome = () => act("opens_home", { user: state.me });

function sceneLine() {
  const { stage, about } = state;
  const now = Object.values(about.scenes).flat().find((one) => one.name === stage.scene);
  const type = () => {
    ways.goToOps();
    composer.fill(stage.line);
  };
  return [
    h("div", { class: "scene-text" }, h("h2", {}, now.title), h("p", {}, now.hint), stage.fault ? h("p", { class: "fault" }, icon("bolt"), stage.fault) : null),
    h("div", { class: "scene-buttons" },
      stage.scene === "approval" ? h("a", { class: "button", href: "?as=ada", target: "_blank" }, "Open a tab as Ada") : null,
      stage.fault ? h("button", { type: "button", class: "button", onclick: () => demo("mend"), "data-key": "mend" }, icon("tool"), "Mend Atlas") : null,
      person(state.me).team === about.team.id ? h("button", { type: "button", class: "button primary", disabled: stage.changing, onclick: type, "data-key": "type" }, "Type the command for me") : null),
  ];
}
