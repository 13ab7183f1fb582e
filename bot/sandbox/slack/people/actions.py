"""The actions of people: type, click, choose, open and submit dialogs, use shortcuts."""

import copy
from collections.abc import Mapping
from typing import Any

from bot.sandbox.slack.block_kit.inputs import (
    filled_state,
    initial_values,
    keeps_state,
    validation_error,
)
from bot.sandbox.slack.errors import ApiError, CannotDo
from bot.sandbox.slack.people.find_element import (
    can_see,
    current_version,
    find_element,
    open_view,
    stale_version,
    store_value,
)
from bot.sandbox.slack.people.payloads import Payloads
from bot.sandbox.slack.people.responses import respond
from bot.sandbox.slack.people.submissions import apply_response, close_view, reject
from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.transport.delivery import Delivery
from bot.sandbox.slack.triggers import ResponseTarget
from bot.sandbox.slack.views import View
from bot.sandbox.slack.workspace import Channel, User
from bot.sandbox.slack.world import World

Json = dict[str, Any]


class People:
    """Each action returns the bot's ack; `CannotDo` means that Slack's client would not allow it.

    `view` is a dialog as the person saw it, or None for the open one.
    """

    def __init__(self, world: World, payloads: Payloads, delivery: Delivery) -> None:
        self._world = world
        self._workspace = world.workspace
        self._payloads = payloads
        self.delivery = delivery

    async def types(self, user: str, channel: str, line: str) -> Ack:
        """Type a slash command, such as `/cancel-restore prod-eu …`.

        Raises:
            CannotDo: the person is not in the channel, or the line is not a slash command.
        """
        person, place = self._in_channel(user, channel)
        command, text = _split(line)
        if not command.startswith("/"):
            raise CannotDo("That is a message, not a command; use says().")
        if not self._workspace.is_here(person):
            raise CannotDo("People of other organizations cannot use this workspace's commands.")
        if command not in self._workspace.app.commands:
            return Ack(error="invalid_command")
        payload = self._payloads.command(person, place, command, text)
        ack = await self.delivery.send("slash_commands", payload)
        return self._show_command_response(ack, person, place)

    def _show_command_response(self, ack: Ack, user: User, channel: Channel) -> Ack:
        if not ack.ok:
            self._post_slackbot(user, channel, f"Slash command failed: {ack.error}. {ack.shown}")
            return ack
        body = {"text": ack.body} if isinstance(ack.body, str) else ack.body
        if not body:
            return ack
        try:
            respond(self._world, ResponseTarget(user=user.id, channel=channel.id), body)
        except ApiError as error:
            message = f"The answer to a slash command cannot be shown: {error}"
            return reject(self._world, ack, message)
        return ack

    def _post_slackbot(self, user: User, channel: Channel, text: str) -> None:
        content = {"user": "USLACKBOT", "text": text}
        message = self._world.messages.post_ephemeral(channel.id, user.id, content)
        self._world.publish_message("ephemeral", message)

    def says(self, user: str, channel: str, text: str, *, thread_ts: str = "") -> Json:
        """Post a message, and return it as it appears in the channel."""
        person, place = self._in_channel(user, channel)
        content: Json = {"user": person.id, "team": person.team_id, "text": text}
        if thread_ts:
            if self._world.messages.find(place.id, thread_ts) is None:
                raise CannotDo("There is no such thread.")
            content["thread_ts"] = thread_ts
        message = self._world.messages.post(place.id, content)
        self._world.publish_message("message", message)
        return message.snapshot()

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
        thing: Json,
        action_id: str,
        *,
        value: str | None = None,
        block: str | None = None,
        stale: bool = False,
    ) -> Ack:
        """Click a button of a message, a dialog or the Home tab.

        `thing` is the message or view as the person saw it; `value` and `block` distinguish
        buttons with the same action; `stale` clicks a button of the old version, even if it was
        removed since.

        Raises:
            CannotDo: this person sees no such button, or the message changed (not `stale`).
        """
        person = self._workspace.user(user)
        version = stale_version if stale else current_version
        now = version(self._world, person, thing)
        block_found, element = find_element(now, action_id, value=value, block=block)
        if element["type"] != "button":
            raise CannotDo(f"{action_id} is not a button; use chooses().")
        action = self._action(block_found, element)
        return await self._send_action(person, now, action, element)

    async def chooses(
        self,
        user: str,
        thing: Json,
        action_id: str,
        value: object,
        *,
        block: str | None = None,
    ) -> Ack:
        """Pick in a select (or fill another element), which sends an action to the bot.

        An input block sends one only with `dispatch_action`.

        Raises:
            CannotDo: the element or the option does not exist.
        """
        person = self._workspace.user(user)
        now = current_version(self._world, person, thing)
        block_found, element = find_element(now, action_id, block=block)
        state = filled_state(element, value)
        store_value(self._world, now, block_found, element, state)
        if block_found["type"] == "input" and not block_found.get("dispatch_action"):
            return Ack()
        action = {**self._action(block_found, element), **state}
        now = current_version(self._world, person, thing)
        return await self._send_action(person, now, action, element)

    def _action(self, block: Json, element: Json) -> Json:
        """Return one entry of `actions`: the element as it was sent, and when it was used."""
        keep = ("type", "action_id", "text", "value", "style", "confirm", "placeholder", "url")
        shown = {key: element[key] for key in keep if key in element}
        named = {"block_id": block["block_id"], "action_ts": self._world.ids.ts()}
        return {**copy.deepcopy(shown), **named}

    async def _send_action(self, person: User, thing: Json, action: Json, element: Json) -> Ack:
        if "root_view_id" in thing:
            view = open_view(self._world, person, thing)
            payload = self._payloads.view_action(view, [action])
        else:
            channel = self._workspace.channel(thing["channel"])
            values = initial_values(thing.get("blocks", []))
            if keeps_state(element):
                kept = ("selected", "type", "value")
                state = {key: v for key, v in action.items() if key.startswith(kept)}
                values.setdefault(action["block_id"], {})[element["action_id"]] = state
            payload = self._payloads.message_action(person, channel, thing, [action], values)
        return await self.delivery.send("interactive", payload)

    async def uses_shortcut(self, user: str, message: Json, callback_id: str) -> Ack:
        """Pick a shortcut of the app in a message's menu."""
        person = self._workspace.user(user)
        channel = self._workspace.channel(message["channel"])
        if callback_id not in self._workspace.app.shortcuts or message.get("is_ephemeral"):
            raise CannotDo(f"The message's menu has no shortcut {callback_id}.")
        visible = can_see(self._workspace, person, channel)
        if not visible or not self._workspace.is_here(person):
            raise CannotDo(f"{person.name} has no such shortcut here.")
        payload = self._payloads.shortcut(person, channel, message, callback_id)
        return await self.delivery.send("interactive", payload)

    async def opens_home(self, user: str) -> Ack:
        """Open the app's Home tab (event app_home_opened)."""
        person = self._workspace.user(user)
        if not self._workspace.is_here(person):
            raise CannotDo(f"{person.name} does not have the app.")
        channel = self._workspace.direct_message(person)
        event: Json = {"type": "app_home_opened", "user": person.id, "channel": channel.id}
        event["tab"] = "home"
        if home := self._world.views.home(person.id):
            event["view"] = self._world.views.as_json(home)
        return await self.delivery.send("events_api", self._payloads.event(event))

    async def redelivers(self) -> Ack:
        """Send the last payload again, marked as a retry; the app's response has no effect."""
        return await self.delivery.redeliver()

    def fills(self, user: str, view: Json | None, values: Mapping[str, object]) -> None:
        """Fill inputs, by block_id, without sending anything.

        Raises:
            CannotDo: the dialog has no such input, or the input no such option.
        """
        shown = self._open_view(user, view)
        inputs = {b["block_id"]: b for b in shown.content["blocks"] if b["type"] == "input"}
        for block_id, value in values.items():
            if block_id not in inputs:
                raise CannotDo(f"The dialog has no input {block_id!r} (it has {list(inputs)}).")
            element = inputs[block_id]["element"]
            state = filled_state(element, value)
            shown.values.setdefault(block_id, {})[element["action_id"]] = state

    async def submits(
        self, user: str, view: Json | None = None, values: Mapping[str, object] | None = None
    ) -> Ack:
        """Fill inputs, and click the dialog's submit button.

        Raises:
            CannotDo: the dialog has no submit button, or an input's value is not valid.
        """
        shown = self._open_view(user, view)
        if not shown.content.get("submit"):
            raise CannotDo("This dialog has no submit button.")
        if shown.is_sent:
            raise CannotDo("This dialog waits for the answer to its submission.")
        self.fills(user, view, values or {})
        _check_inputs(shown)
        shown.is_sent = True
        try:
            ack = await self.delivery.send("interactive", self._payloads.submission(shown))
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
        return open_view(self._world, self._workspace.user(user), view)


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
