// HTTP calls: actions of people, the state, and the stream of changes.

import { toast } from "./dom.js";

async function call(method, path, body) {
  const init = { method, headers: { "Content-Type": "application/json" } };
  const answer = await fetch(path, body === undefined ? init : { ...init, body: JSON.stringify(body) });
  return answer.json();
}

/** Sends an action of a person and returns the bot's ack; a failed action shows its message. */
export async function sendAction(name, args) {
  let ack;
  try {
    ack = await call("POST", `/_sandbox/actions/${name}`, args);
  } catch {
    ack = { ok: false, message: "The demo does not answer. Is it still running?" };
  }
  if (!ack.ok && name !== "types") toast(ack.message ?? ack.shown);
  return ack;
}

/** Sends an action of the demo itself: `scenarios/NAME`, `clear-faults`, `bot/kill`, `bot/start`. */
export async function postDemo(path) {
  const answer = await call("POST", `/_demo/${path}`, {});
  if (!answer.ok) toast(answer.message);
  return answer;
}

/** Returns the whole state: what people see in Slack, and what the demo adds. */
export async function fetchState() {
  const [seen, about] = await Promise.all([call("GET", "/_sandbox/state"), call("GET", "/_demo/state")]);
  return { seen, about };
}

const KINDS = ["message", "message_changed", "ephemeral", "view", "view_closed", "call_log", "demo"];

/** Calls `changed(kind, data)` for each change, and `opened()` each time the stream starts. */
export function listen(opened, changed) {
  const stream = new EventSource("/_sandbox/events");
  stream.addEventListener("open", opened);
  for (const kind of KINDS) stream.addEventListener(kind, (event) => changed(kind, JSON.parse(event.data)));
}
