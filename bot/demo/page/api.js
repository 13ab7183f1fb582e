// Talks to the stand-in: what people do, what is so, and what changes.

import { toast } from "./dom.js";

async function call(method, path, body) {
  const init = { method, headers: { "Content-Type": "application/json" } };
  const answer = await fetch(path, body === undefined ? init : { ...init, body: JSON.stringify(body) });
  return answer.json();
}

/** An act of a person; the answer is the bot's ack. What cannot be done is said, and is no ack. */
export async function act(name, args) {
  let ack;
  try {
    ack = await call("POST", `/_sandbox/acts/${name}`, args);
  } catch {
    ack = { ok: false, message: "The demo does not answer. Is it still running?" };
  }
  if (!ack.ok && name !== "types") toast(ack.message ?? ack.shown);
  return ack;
}

/** A button of the demo itself: `scenes/NAME`, `mend`, `bot/kill`, `bot/start`. */
export async function demo(what) {
  const answer = await call("POST", `/_demo/${what}`, {});
  if (!answer.ok) toast(answer.message);
  return answer;
}

/** Everything that is so: what people see in Slack, and what the demo adds. */
export async function everything() {
  const [seen, about] = await Promise.all([call("GET", "/_sandbox/state"), call("GET", "/_demo/state")]);
  return { seen, about };
}

const KINDS = ["message", "message_changed", "message_deleted", "ephemeral", "view", "view_closed", "home", "wire", "stage"];

/** Calls `changed(kind, data)` with each change, and `opened()` whenever the stream (re)starts. */
export function listen(opened, changed) {
  const stream = new EventSource("/_sandbox/events");
  stream.addEventListener("open", opened);
  for (const kind of KINDS) stream.addEventListener(kind, (event) => changed(kind, JSON.parse(event.data)));
}
