"""The actions of people: type a command, click, fill in and submit a dialog, close it."""

import copy
from collections.abc import Mapping
from typing import Any

from bot.sandbox.slack.block_kit.inputs import filled_state, validation_error
from bot.sandbox.slack.errors import ApiError, CannotDo
from bot.sandbox.slack.people.find_button import can_see, find_button
from bot.sandbox.slack.people.payloads import Payloads
from bot.sandbox.slack.people.responses import respond
from bot.sandbox.slack.people.submissions import apply_response, close_view, reject
from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.transport.socket_mode import SocketMode
from bot.sandbox.slack.triggers import ResponseTarget
from bot.sandbox.slack.views import View
from bot.sandbox.slack.workspace import Channel, User
from bot.sandbox.slack.world import World

Json = dict[str, Any]


class People:
    """Each action returns the bot's ack; `CannotDo` means that Slack's client would not allow it.

    `view` is a dialog as the person saw it, or None for the open one.
    """

    def __init__(self, world: World, sockets: SocketMode) -> None:
        self._world = world
        self._workspace = world.workspace
        self._payloads = Payloads(world)
        self._sockets = sockets

    async def types(self, user: str, channel: str, line: str) -> Ack:
        """Type a slash command, such as `/cancel-restore prod-eu …`.

        Raises:
            CannotDo: the person is not in the channel, or the line is not a slash command.
        """
        person, place = self._in_channel(user, channel)
        command, text = _split(line)
        if not command.startswith("/"):
            raise CannotDo("People only type commands here; they begin with a slash.")
        if not self._workspace.is_here(person):
            raise CannotDo("People of other organizations cannot use this workspace's commands.")
        if command not in self._workspace.app.commands:
            return Ack(error="invalid_command")
        payload = self._payloads.command(person, place, command, text)
        ack = await self._send("slash_commands", payload)
        return self._show_command_response(ack, person, place)

    def _show_command_response(self, ack: Ack, user: User, channel: Channel) -> Ack:
        if not ack.ok:
            self._post_slackbot(user, channel, f"Slash command failed: {ack.error}. {ack.shown}")
            return ack
        if not ack.body:
            return ack
        try:
            respond(self._world, ResponseTarget(user=user.id, channel=channel.id), ack.body)
        except ApiError as error:
            message = f"The answer to a slash command cannot be shown: {error}"
            return reject(self._world, ack, message)
        return ack

    def _post_slackbot(self, user: User, channel: Channel, text: str) -> None:
        content = {"user": "USLACKBOT", "text": text}
        message = self._world.messages.post_ephemeral(channel.id, user.id, content)
        self._world.publish_message("ephemeral", message)

    def _in_channel(self, user: str, channel: str) -> tuple[User, Channel]:
        person, place = self._workspace.user(user), self._workspace.channel(channel)
        if person.deleted or person.id not in place.members:
            raise CannotDo(f"{person.name} is not in {place.name}.")
        if place.is_archived:
            raise CannotDo(f"#{place.name} is archived.")
        return person, place

    async def clicks(
        self,
        user: str,
        message: Json,
        action_id: str,
        *,
        value: str | None = None,
        stale: bool = False,
    ) -> Ack:
        """Click a button of a message, in its current version.

        `value` distinguishes buttons with the same action. `stale` clicks in the version that is
        given, as a client does that missed later edits.

        Raises:
            CannotDo: this person does not see the message, or it has no such button.
        """
        person, channel = self._workspace.user(user), self._workspace.channel(message["channel"])
        stored = self._world.messages.find(channel.id, message["ts"])
        if stored is None or not can_see(self._workspace, person, channel, stored.only_for):
            raise CannotDo(f"{person.name} does not see this message.")
        shown = message if stale else stored.snapshot()
        action = self._action(*find_button(shown, action_id, value))
        payload = self._payloads.message_action(person, channel, shown, action)
        return await self._send("interactive", payload)

    def _action(self, block: Json, button: Json) -> Json:
        """Return one entry of `actions`: the button as it was sent, and when it was used."""
        named = {"block_id": block["block_id"], "action_ts": self._world.ids.ts()}
        return {**copy.deepcopy(button), **named}

    async def redelivers(self) -> Ack:
        """Send the last payload again, marked as a retry; the app's response has no effect."""
        return await self._sockets.redeliver()

    async def submits(
        self, user: str, view: Json | None = None, values: Mapping[str, object] | None = None
    ) -> Ack:
        """Fill inputs, by block_id, and click the dialog's submit button.

        Raises:
            CannotDo: the dialog has no submit button or no such input, or a value is not valid.
        """
        shown = self._open_view(user, view)
        if not shown.content.get("submit"):
            raise CannotDo("This dialog has no submit button.")
        if shown.is_sent:
            raise CannotDo("This dialog waits for the answer to its submission.")
        _fill(shown, values or {})
        _check_inputs(shown)
        shown.is_sent = True
        try:
            ack = await self._send("interactive", self._payloads.submission(shown))
        finally:
            shown.is_sent = False
        return apply_response(self._world, shown, ack) if ack.ok else ack

    async def closes(self, user: str, view: Json | None = None) -> Ack:
        """Close the dialog; Slack does not tell the app.

        Raises:
            CannotDo: no dialog is open.
        """
        close_view(self._world, self._open_view(user, view))
        return Ack()

    def _open_view(self, user: str, view: Json | None) -> View:
        """Return the person's open dialog, which is `view` if one is given."""
        person = self._workspace.user(user)
        modal = self._world.views.modal(person.id)
        if modal is None or (view and view["id"] != modal.id):
            raise CannotDo(f"{person.name} has no such dialog open.")
        return modal

    async def _send(self, kind: str, payload: Json) -> Ack:
        """Send a payload (`kind`: slash_commands or interactive), and publish what happens."""
        who = payload.get("user_id") or payload["user"]["id"]
        shown = {"type": payload.get("type", kind), "user": who}
        self._world.events.publish("action", **shown, what=_what(payload))
        ack = await self._sockets.send(kind, payload)
        self._world.events.publish("payload", **shown, ack=ack.as_json())
        return ack


def _fill(view: View, values: Mapping[str, object]) -> None:
    inputs = {b["block_id"]: b for b in view.content["blocks"] if b["type"] == "input"}
    for block_id, value in values.items():
        if block_id not in inputs:
            raise CannotDo(f"The dialog has no input {block_id!r} (it has {list(inputs)}).")
        element = inputs[block_id]["element"]
        view.values[block_id][element["action_id"]] = filled_state(element, value)


def _check_inputs(view: View) -> None:
    for block in view.content["blocks"]:
        if block["type"] == "input":
            state = view.values[block["block_id"]][block["element"]["action_id"]]
            if sentence := validation_error(block, state):
                raise CannotDo(f"{block['block_id']}: {sentence}")


def _split(line: str) -> tuple[str, str]:
    """Split a line at its first white space into the command's name and the rest."""
    command = line.split(maxsplit=1)[0] if line.strip() else ""
    return command, line[len(command) + 1 :]


def _what(payload: Json) -> str:
    """Return the typed line, or the label of the button."""
    if "command" in payload:
        return f"{payload['command']} {payload['text']}".strip()
    if "actions" in payload:
        return str(payload["actions"][0]["text"]["text"])
    return str(payload["view"]["submit"]["text"])
