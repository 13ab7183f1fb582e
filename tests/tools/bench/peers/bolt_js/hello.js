// The bare Bolt for JavaScript: an App that says hello, and nothing else.
"use strict";

const { App, HTTPReceiver, LogLevel } = require("@slack/bolt");

const receiver = new HTTPReceiver({
  signingSecret: process.env.SLACK_SIGNING_SECRET,
  logLevel: LogLevel.ERROR,
});
const app = new App({
  receiver,
  authorize: async () => ({ botToken: "xoxb-hello", botId: "B1", botUserId: "U1", teamId: "T1" }),
  logLevel: LogLevel.ERROR,
});
app.command("/cancel-restore", async ({ ack }) => {
  await ack("Hello!");
});

(async () => {
  const server = await app.start({ port: 0, host: "127.0.0.1" });
  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`);
})();
