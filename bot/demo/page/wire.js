// The pane at the side: each call to Atlas as it happens, and the restore jobs as Atlas has them.

import { clock } from "./dates.js";
import { h, icon, iconButton, keepingFocus } from "./dom.js";
import { person, state } from "./store.js";

const root = document.getElementById("wire");
const wire = h("ol", { class: "tape", tabindex: "0", "aria-label": "Calls, oldest first" });
const jobs = h("div", { class: "jobs", tabindex: "0", role: "region", "aria-label": "Restore jobs" });
const head = h("header", { class: "pane-head" });
const note = h("p", { class: "pane-note" });
const filter = h("label", { class: "filter" });
let tab = "wire";
let withSlack = false;
let ways;

/** Builds it once; `given.type(line)` puts a line into the message box. */
export function buildWire(given) {
  ways = given;
  const box = h("input", { type: "checkbox", onchange: (event) => { withSlack = event.target.checked; drawWire(); } });
  filter.append(box, "Slack's calls too");
  root.append(head, note, wire, jobs, filter);
}

export function showJobs() {
  tab = "jobs";
  ways.open();
  drawWire();
}

export function drawWire() {
  keepingFocus(head, () => head.replaceChildren(tabs(), iconButton("close", "Close this pane", ways.close, { "data-key": "wire-close" })));
  wire.hidden = filter.hidden = tab !== "wire";
  jobs.hidden = tab !== "jobs";
  note.textContent = tab === "wire" ? "Each call to Atlas, as it happens." : "The restore jobs as Atlas has them now.";
  if (tab === "wire") drawTape();
  else keepingFocus(jobs, () => jobs.replaceChildren(...state.stage.jobs.map(job)));
}

function tabs() {
  const button = (name, label) => h("button", { type: "button", role: "tab", "aria-selected": String(tab === name), "data-key": `tab/${name}`, onclick: () => { tab = name; drawWire(); } }, label);
  return h("div", { class: "tabs", role: "tablist", "aria-label": "What to see" }, button("wire", "Wire"), button("jobs", "Jobs in Atlas"));
}

function drawTape() {
  const atEnd = wire.scrollHeight - wire.scrollTop - wire.clientHeight < 60;
  const shown = state.wire.filter((entry) => withSlack || entry.kind !== "slack");
  wire.replaceChildren(...shown.map((entry, at) => h("li", { class: `entry of-${entry.kind}` }, ROWS[entry.kind](entry, shown, at))));
  if (!shown.length) wire.append(h("li", { class: "empty" }, "Nothing has been asked yet."));
  if (atEnd) wire.scrollTop = wire.scrollHeight;
}

const ROWS = {
  person: (entry, all, at) => {
    const calls = following(all, at);
    return [
      h("span", { class: "who" }, `${person(entry.user)?.name ?? "Somebody"} ${entry.deed}`, entry.what ? h("q", {}, entry.what) : null),
      calls ? h("span", { class: "count" }, calls === 1 ? "1 call" : `${calls} calls`) : null,
    ];
  },
  scene: (entry) => [h("span", { class: "who" }, `Scene: ${entry.what}`), h("time", {}, clock(entry.at))],
  bot: (entry) => [h("span", { class: "who" }, `The bot was ${entry.what}`)],
  slack: (entry) => [h("span", { class: "method" }, "Slack"), h("span", { class: "path" }, entry.method), status(entry.ok ? "ok" : entry.error, entry.ok)],
  atlas: (entry) => [
    h("span", { class: `method ${entry.method}` }, entry.method),
    h("span", { class: "path", title: entry.path }, short(entry.path)),
    status(entry.status ?? "cut", entry.status && entry.status < 400, entry.challenge),
    h("span", { class: "how" }, how(entry), ` · ${entry.ms < 10 ? entry.ms : Math.round(entry.ms)} ms`, entry.faults.map((fault) => h("span", { class: "struck" }, icon("bolt"), fault.replace("_", " "))), entry.orphan ? h("span", { class: "orphan" }, "sent by the killed process") : null),
  ],
};

/** How many calls to Atlas followed until somebody did the next thing. */
function following(all, at) {
  const rest = all.slice(at + 1);
  const next = rest.findIndex((entry) => ["person", "scene", "bot"].includes(entry.kind));
  return rest.slice(0, next < 0 ? rest.length : next).filter((entry) => entry.kind === "atlas" && !entry.orphan).length;
}

const status = (text, good, asked) => h("span", { class: `status ${asked ? "asked" : good ? "good" : "bad"}` }, String(text));

function how(entry) {
  if (entry.challenge) return "challenge";
  return `${entry.scheme}${entry.nonce_reused ? ", nonce reused" : ""}`;
}

/** The end of a path says enough; the whole one is its tooltip. */
function short(path) {
  const [, , , ...rest] = path.split("?")[0].split("/");
  const named = rest.filter((part) => !["clusters", "backup", "restoreJobs"].includes(part)).slice(1);
  return named.map((part) => part.replace(/^([0-9a-f]{4})[0-9a-f]{16}([0-9a-f]{4})$/, "$1…$2")).join("/") || "project";
}

function job(one) {
  const open = one.type === "download" && ["running", "live"].includes(one.state);
  const line = `/cancel-restore ${one.cluster} ${one.id}`;
  return h("div", { class: `job ${one.state}` },
    h("p", {}, h("strong", {}, one.cluster), " ", h("code", {}, one.id)),
    h("p", { class: "job-facts" }, h("span", { class: "state" }, one.state), `${one.type}, started ${clock(one.at)}`),
    h("button", { type: "button", class: open ? "button small" : "button small quiet", "data-key": `job/${one.id}`, "aria-label": `Type the command for job ${one.id}`, onclick: () => ways.type(line) }, "Type the command"));
}
