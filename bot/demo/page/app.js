// Puts the page together: what is drawn when, and where one goes.

import { everything, listen } from "./api.js";
import { buildChannel, drawChannel, fillComposer, openHome, reveal, toTheEnd } from "./channel.js";
import { ways } from "./context.js";
import { toast } from "./dom.js";
import { drawModal } from "./modal.js";
import { buildSidebar, drawSidebar } from "./sidebar.js";
import { apply, channels, fill, state } from "./store.js";
import { buildThread, drawThread, focusThread } from "./thread.js";
import { buildTop, drawTop, restoreTheme } from "./top.js";
import { buildWire, drawWire, showJobs } from "./wire.js";

const DRAW = { top: drawTop, sidebar: drawSidebar, channel: drawChannel, thread: drawThread, wire: drawWire, modal: drawModal };
const narrow = matchMedia("(max-width: 900px)");
const due = new Set();
let early = []; // events that came before the page knew anything

/** Draws these parts soon, each once, however often they changed meanwhile. */
function draw(...parts) {
  if (!due.size) setTimeout(drawDue);
  parts.forEach((part) => due.add(part));
}

function drawDue() {
  const now = [...due];
  due.clear();
  now.forEach((part) => DRAW[part]());
}

const drawAll = () => draw(...Object.keys(DRAW));

function become(user) {
  state.me = user;
  state.thread = "";
  state.unread.clear();
  const address = new URL(location);
  address.searchParams.set("as", state.about.users[user].name.toLowerCase());
  history.replaceState(null, "", address);
  document.title = `${state.about.users[user].name} · cancel-restore demo`;
  go(channels().some((one) => one.id === state.place) ? state.place : channels()[0].id);
}

function go(place) {
  state.place = place;
  state.thread = "";
  state.unread.delete(place);
  document.body.classList.remove("with-sidebar");
  if (place === "home") openHome();
  drawAll();
  drawDue();
  toTheEnd();
}

/** The channel of the scene, or the first that the persona has. */
function goToOps() {
  const ops = channels().find((one) => one.name === "ops") ?? channels()[0];
  if (state.place !== ops.id) go(ops.id);
  document.body.classList.remove("with-sidebar");
}

function openThread(message) {
  state.thread = message.thread_ts ?? message.ts;
  draw("thread");
  setTimeout(focusThread);
}

function closeThread() {
  state.thread = "";
  draw("thread");
}

function toMessage(channel, ts) {
  if (!channels().some((one) => one.id === channel) && !channel.startsWith("D")) return toast("You are not in that channel.");
  go(channel);
  return reveal(ts);
}

const toggle = (name) => () => { document.body.classList.toggle(name); drawTop(); };
const wireIsOpen = () => document.body.classList.contains(narrow.matches ? "with-wire" : "without-wire") === narrow.matches;

function setWire(open) {
  document.body.classList.toggle("with-wire", open);
  document.body.classList.toggle("without-wire", !open);
  drawTop();
}

function type(line) {
  if (narrow.matches) setWire(false);
  goToOps();
  fillComposer(line);
}

function build() {
  Object.assign(ways, { toMessage, toAtlas: showJobs });
  buildTop({ become, toggleSidebar: toggle("with-sidebar"), toggleWire: () => setWire(!wireIsOpen()), wireIsOpen });
  buildSidebar({ go, goToOps });
  buildChannel({ go, goToOps, openThread });
  buildThread(closeThread);
  buildWire({ type, open: () => setWire(true), close: () => setWire(false) });
  document.body.addEventListener("keydown", (event) => event.key === "Escape" && document.body.classList.remove("with-sidebar"));
}

function whoFirst() {
  const asked = new URLSearchParams(location.search).get("as") ?? "rina";
  const people = Object.entries(state.about.users).filter(([, one]) => one.role);
  return (people.find(([, one]) => one.name.toLowerCase() === asked.toLowerCase()) ?? people[0])[0];
}

async function load() {
  early = [];
  fill(await everything());
  if (!state.me) {
    build();
    become(whoFirst());
    document.body.classList.add("ready");
  }
  early.forEach(([kind, data]) => apply(kind, data));
  early = null;
  drawAll();
}

restoreTheme();
listen(load, (kind, data) => {
  if (early) early.push([kind, data]);
  else draw(...apply(kind, data));
});
