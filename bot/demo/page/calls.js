// The side pane: each call to Atlas as it happens, and the current restore jobs in Atlas.

import { clock } from "./dates.js";
import { followEnd, h, icon, iconButton, preserveFocus } from "./dom.js";
import { person, state } from "./store.js";

const root = document.getElementById("calls");
const list = h("ol", { class: "call-log", tabindex: "0", "aria-label": "Calls, oldest first" });
const follow = followEnd(list);
const jobs = h("div", { class: "jobs", tabindex: "0", role: "region", "aria-label": "Restore jobs" });
const head = h("header", { class: "pane-head" });
const note = h("p", { class: "pane-note" });
const filter = h("label", { class: "filter" });
let tab = "calls";
let withSlack = false;
let actions;

/** Called once; `handlers.type(line)` puts a line into the message box. */
export function buildCalls(handlers) {
  actions = handlers;
  const box = h("input", { type: "checkbox", onchange: (event) => { withSlack = event.target.checked; renderCalls(); } });
  filter.append(box, "Show calls to Slack");
  root.append(head, note, list, jobs, filter);
}

export function showJobs() {
  tab = "jobs";
  actions.open();
  renderCalls();
}

export function renderCalls() {
  preserveFocus(head, () => head.replaceChildren(tabs(), iconButton("close", "Close this pane", actions.close, { "data-key": "calls-close" })));
  list.hidden = filter.hidden = tab !== "calls";
  jobs.hidden = tab !== "jobs";
  note.textContent = tab === "calls" ? "Calls to Atlas about this download." : "The current restore jobs in Atlas.";
  if (tab === "calls") renderCallLog();
  else preserveFocus(jobs, () => jobs.replaceChildren(...state.demo.jobs.map(jobRow)));
}

function tabs() {
  const button = (name, label) => h("button", { type: "button", role: "tab", "aria-selected": String(tab === name), "data-key": `tab/${name}`, onclick: () => { tab = name; renderCalls(); } }, label);
  return h("div", { class: "tabs", role: "tablist", "aria-label": "Pane content" }, button("calls", "Calls"), button("jobs", "Jobs in Atlas"));
}

function renderCallLog() {
  const shown = state.calls.filter((entry) => withSlack || entry.kind !== "slack");
  list.replaceChildren(...shown.flatMap((entry, at) => [...caller(entry, shown[at - 1]), h("li", { class: `entry of-${entry.kind}` }, ROWS[entry.kind](entry, shown, at))]));
  if (!shown.length) list.append(h("li", { class: "empty" }, "No calls yet."));
  follow();
}

/** Names the caller where the calls of the command line begin, and where those of the bot go on. */
function caller(entry, before) {
  if (entry.kind !== "atlas" || Boolean(entry.other) === Boolean(before?.other)) return [];
  return [h("li", { class: "entry of-person" }, h("span", { class: "who" }, entry.other ? "The command line" : "The bot"))];
}

const ROWS = {
  person: (entry, all, at) => {
    const count = countAtlasCalls(all, at);
    return [
      h("span", { class: "who" }, `${person(entry.user)?.name ?? "Unknown person"} ${entry.action}`, entry.text ? h("q", {}, entry.text) : null),
      count ? h("span", { class: "count" }, count === 1 ? "1 call" : `${count} calls`) : null,
    ];
  },
  scenario: (entry) => [h("span", { class: "who" }, `Scenario: ${entry.text}`), h("time", {}, clock(entry.at))],
  bot: (entry) => [h("span", { class: "who" }, `The bot was ${entry.text}`)],
  slack: (entry) => [h("span", { class: "method" }, "Slack"), h("span", { class: "path" }, entry.method), status(entry.ok ? "ok" : entry.error, entry.ok)],
  atlas: (entry) => [
    h("span", { class: `method ${entry.method}` }, entry.method),
    h("span", { class: "path", title: entry.path }, short(entry.path)),
    status(entry.status ?? "cut", entry.status && entry.status < 400, entry.challenge),
    h("span", { class: "how" }, how(entry), ` · ${entry.ms < 10 ? entry.ms : Math.round(entry.ms)} ms`, entry.faults.map((fault) => h("span", { class: "fault-tag" }, icon("bolt"), fault.replace("_", " "))), entry.orphan ? h("span", { class: "orphan" }, "sent by the killed process") : null),
  ],
};

/** Counts the calls to Atlas until the next action. */
function countAtlasCalls(all, at) {
  const rest = all.slice(at + 1);
  const next = rest.findIndex((entry) => ["person", "scenario", "bot"].includes(entry.kind));
  return rest.slice(0, next < 0 ? rest.length : next).filter((entry) => entry.kind === "atlas" && !entry.orphan && !entry.other).length;
}

const status = (text, good, asked) => h("span", { class: `status ${asked ? "asked" : good ? "good" : "bad"}` }, String(text));

function how(entry) {
  if (entry.challenge) return "challenge";
  return `${entry.scheme}${entry.nonce_reused ? ", nonce reused" : ""}`;
}

/** Shortens a path to its last parts; the full path is the tooltip. */
function short(path) {
  const [, , , ...rest] = path.split("?")[0].split("/");
  const named = rest.filter((part) => !["clusters", "backup", "restoreJobs"].includes(part)).slice(1);
  return named.map((part) => part.replace(/^([0-9a-f]{4})[0-9a-f]{16}([0-9a-f]{4})$/, "$1…$2")).join("/") || "project";
}

function jobRow(one) {
  const line = `/cancel-restore ${one.cluster} ${one.id}`;
  return h("div", { class: `job ${one.state}` },
    h("p", {}, h("strong", {}, one.cluster), " ", h("code", {}, one.id)),
    h("p", { class: "job-facts" }, h("span", { class: "state" }, one.state), `${one.type}, started ${clock(one.at)}`),
    h("button", { type: "button", class: "button small", "data-key": `job/${one.id}`, "aria-label": `Type the command for job ${one.id}`, onclick: () => actions.type(line) }, "Type the command"));
}
