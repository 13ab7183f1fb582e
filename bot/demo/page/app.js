// Builds the page, applies events, and handles navigation.

import { fetchState, listen } from "./api.js";
import { buildChannel, renderChannel, fillComposer, reveal, scrollToEnd } from "./channel.js";
import { navigation } from "./context.js";
import { toast } from "./dom.js";
import { renderModal } from "./modal.js";
import { buildSchedule, render, renderAll, renderPending } from "./schedule.js";
import { buildSidebar, renderSidebar } from "./sidebar.js";
import { apply, channels, fill, isEarlier, state } from "./store.js";
import { buildThread, renderThread, focusThread } from "./thread.js";
import { buildTop, renderTop, restoreTheme } from "./top.js";
import { buildCalls, renderCalls, showJobs } from "./calls.js";

const RENDER = { top: renderTop, sidebar: renderSidebar, channel: renderChannel, thread: renderThread, calls: renderCalls, modal: renderModal };
const narrow = matchMedia("(max-width: 900px)");
let buffered = []; // events that arrived before the state was loaded

function switchPerson(user) {
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
  renderAll();
  renderPending();
  scrollToEnd();
}

/** Goes to #ops, or to the first channel of the current person. */
function goToOps() {
  const ops = channels().find((one) => one.name === "ops") ?? channels()[0];
  if (state.place !== ops.id) go(ops.id);
  document.body.classList.remove("with-sidebar");
}

function openThread(message) {
  state.thread = message.thread_ts ?? message.ts;
  render("thread");
  setTimeout(focusThread);
}

function closeThread() {
  state.thread = "";
  render("thread");
}

function toMessage(channel, ts) {
  if (!channels().some((one) => one.id === channel) && !channel.startsWith("D")) return toast("You are not in that channel.");
  state.withEarlier ||= isEarlier({ ts });
  go(channel);
  return reveal(ts);
}

const toggle = (name) => () => { document.body.classList.toggle(name); renderTop(); };
const callsAreOpen = () => document.body.classList.contains(narrow.matches ? "with-calls" : "without-calls") === narrow.matches;

function setCallsOpen(open) {
  document.body.classList.toggle("with-calls", open);
  document.body.classList.toggle("without-calls", !open);
  renderTop();
}

function type(line) {
  if (narrow.matches) setCallsOpen(false);
  goToOps();
  fillComposer(line);
}

function build() {
  buildSchedule(RENDER);
  Object.assign(navigation, { toMessage, toAtlas: showJobs });
  buildTop({ switchPerson, toggleSidebar: toggle("with-sidebar"), toggleCalls: () => setCallsOpen(!callsAreOpen()), callsAreOpen });
  buildSidebar({ go, goToOps });
  buildChannel({ go, goToOps, openThread });
  buildThread(closeThread);
  buildCalls({ type, open: () => setCallsOpen(true), close: () => setCallsOpen(false) });
  document.body.addEventListener("keydown", (event) => event.key === "Escape" && document.body.classList.remove("with-sidebar"));
}

function initialPerson() {
  const name = new URLSearchParams(location.search).get("as") ?? "rina";
  const people = Object.entries(state.about.users).filter(([, one]) => one.role);
  return (people.find(([, one]) => one.name.toLowerCase() === name.toLowerCase()) ?? people[0])[0];
}

async function load() {
  buffered = [];
  fill(await fetchState());
  if (!state.me) {
    build();
    switchPerson(initialPerson());
    document.body.classList.add("ready");
  }
  buffered.forEach(([kind, data]) => apply(kind, data));
  buffered = null;
  renderAll();
}

restoreTheme();
listen(load, (kind, data) => {
  if (buffered) buffered.push([kind, data]);
  else render(...apply(kind, data));
});
