"""What people do in channels: type, click, use a shortcut, open the Home tab."""

import copy
from dataclasses import replace
from typing import Any

from bot.sandbox.slack.ack import Ack
from bot.sandbox.slack.delivery import Delivery
from bot.sandbox.slack.errors import ApiError, CannotDo
from bot.sandbox.slack.hands import Hands, find_element
from bot.sandbox.slack.inputs import filled, initial_values, keeps_state
from bot.sandbox.slack.payloads import Payloads
from bot.sandbox.slack.responses import respond
from bot.sandbox.slack.triggers import Place
from bot.sandbox.slack.workspace import Channel, User
from bot.sandbox.slack.world import World

Json = dict[str, Any]


class Acts(Hands):
    """Each act gives the bot's ack; what Slack's client would not allow raises `CannotDo`."""

    def __init__(self, world: World, delivery: Delivery) -> None:
        super().__init__(world)
        self.payloads = Payloads(world)
        self._delivery = delivery

    async def types(self, user: str, channel: str, line: str) -> Ack:
        """The person types a slash command, such as `/cancel-restore prod-eu …`.

        Raises:
            CannotDo: the person is not in the channel, or it is no slash command.
        """
        person, place = self._in_channel(user, channel)
        command, text = _split(line)
        if not command.startswith("/"):
            raise CannotDo("That is a message, not a command; use says().")
        if not self.workspace.is_here(person):
            raise CannotDo("People of other organizations cannot use this workspace's commands.")
        if command not in self.workspace.app.commands:
            return Ack(error="invalid_command")
        payload = self.payloads.command(person, place, command, text)
        ack = await self._delivery.send("slash_commands", payload)
        return self._show_command_answer(ack, person, place)

    def _show_command_answer(self, ack: Ack, user: User, channel: Channel) -> Ack:
        if not ack.ok:
            self._whisper(user, channel, f"Slash command failed: {ack.error}. {ack.shown}")
            return ack
        body = {"text": ack.body} if isinstance(ack.body, str) else ack.body
        if not body:
            return ack
        try:
            respond(self.world, Place(user=user.id, channel=channel.id), body)
        except ApiError as error:
            return self._refuse(ack, f"The answer to a slash command cannot be shown: {error}")
        return ack

    def _whisper(self, user: User, channel: Channel, text: str) -> None:
        content = {"user": "USLACKBOT", "text": text}
        message = self.world.messages.whisper(channel.id, user.id, content)
        self.world.tell_message("ephemeral", message)

    def _refuse(self, ack: Ack, sentence: str) -> Ack:
        self.world.complain(sentence)
        return replace(ack, error="invalid_response")

    def says(self, user: str, channel: str, text: str, *, thread_ts: str = "") -> Json:
        """The person writes a message; gives it as it stands in the channel."""
        person, place = self._in_channel(user, channel)
        content: Json = {"user": person.id, "team": person.team_id, "text": text}
        if thread_ts:
            if self.world.messages.find(place.id, thread_ts) is None:
                raise CannotDo("There is no such thread.")
            content["thread_ts"] = thread_ts
        message = self.world.messages.post(place.id, content)
        self.world.tell_message("message", message)
        return message.snapshot()

    def _in_channel(self, user: str, channel: str) -> tuple[User, Channel]:
        person, place = self.workspace.user(user), self.workspace.channel(channel)
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
        confirms: bool = True,
    ) -> Ack:
        """The person clicks a button of a message, a dialog or the Home tab.

        `thing` is it as they saw it; `value` and `block` tell buttons with the same action apart;
        `stale` clicks what was there then, even if it is gone; `confirms` answers its confirm
        dialog.

        Raises:
            CannotDo: there is no such button for this person, or the message changed (not `stale`).
        """
        person = self.workspace.user(user)
        now = self._as_it_was(person, thing) if stale else self._as_it_stands(person, thing)
        block_found, element = find_element(now, action_id, value=value, block=block)
        if element["type"] != "button":
            raise CannotDo(f"{action_id} is no button; use chooses().")
        if not stale and person.id not in element.get("visible_to_user_ids", [person.id]):
            raise CannotDo(f"{person.name} does not see this button.")
        confirm = element.get("confirm")
        if confirm and not confirms:
            return Ack(error="not_confirmed", confirm=confirm)
        action = self._action(block_found, element)
        ack = await self._act(person, now, action, element)
        return replace(ack, confirm=confirm)

    async def chooses(
        self,
        user: str,
        thing: Json,
        action_id: str,
        value: object,
        *,
        block: str | None = None,
    ) -> Ack:
        """The person picks in a select (or fills another element), which tells the bot at once.

        In an input block it does so only with `dispatch_action`; without, nothing is sent.

        Raises:
            CannotDo: no such element or option.
        """
        person = self.workspace.user(user)
        now = self._as_it_stands(person, thing)
        block_found, element = find_element(now, action_id, block=block)
        state = filled(element, value, self._offered(now, block_found, element))
        self._keep(now, block_found, element, state)
        if block_found["type"] == "input" and not block_found.get("dispatch_action"):
            return Ack()
        action = {**self._action(block_found, element), **state}
        return await self._act(person, self._as_it_stands(person, thing), action, element)

    def _action(self, block: Json, element: Json) -> Json:
        """One entry of `actions`: the element as it was sent, and when it was used."""
        keep = ("type", "action_id", "text", "value", "style", "confirm", "placeholder", "url")
        shown = {key: element[key] for key in keep if key in element}
        named = {"block_id": block["block_id"], "action_ts": self.world.stamps.ts()}
        return {**copy.deepcopy(shown), **named}

    async def _act(self, person: User, thing: Json, action: Json, element: Json) -> Ack:
        if "root_view_id" in thing:
            view = self._view(person, thing)
            payload = self.payloads.view_action(view, [action])
        else:
            channel = self.workspace.channel(thing["channel"])
            values = initial_values(thing.get("blocks", []))
            if keeps_state(element):
                kept = ("selected", "type", "value")
                state = {key: v for key, v in action.items() if key.startswith(kept)}
                values.setdefault(action["block_id"], {})[element["action_id"]] = state
            payload = self.payloads.message_action(person, channel, thing, [action], values)
        return await self._delivery.send("interactive", payload)

    async def uses_shortcut(self, user: str, message: Json, callback_id: str) -> Ack:
        """The person picks a shortcut of the app in a message's menu."""
        person = self.workspace.user(user)
        channel = self.workspace.channel(message["channel"])
        if callback_id not in self.workspace.app.shortcuts or message.get("is_ephemeral"):
            raise CannotDo(f"The message's menu has no shortcut {callback_id}.")
        if not self._sees(person, channel) or not self.workspace.is_here(person):
            raise CannotDo(f"{person.name} has no such shortcut here.")
        payload = self.payloads.shortcut(person, channel, message, callback_id)
        return await self._delivery.send("interactive", payload)

    async def opens_home(self, user: str) -> Ack:
        """The person opens the app's Home tab (event app_home_opened)."""
        person = self.workspace.user(user)
        if not self.workspace.is_here(person):
            raise CannotDo(f"{person.name} does not have the app.")
        channel = self.workspace.direct_message(person)
        event: Json = {"type": "app_home_opened", "user": person.id, "channel": channel.id}
        event["tab"] = "home"
        if home := self.home_of(user):
            event["view"] = home
        return await self._delivery.send("events_api", self.payloads.event(event))

    async def redelivers(self, reason: str = "timeout") -> Ack:
        """The last payload comes once more, marked as a retry; what it answers changes nothing."""
        return await self._delivery.redeliver(reason)


def _split(line: str) -> tuple[str, str]:
    """The command's name and the rest, at the first white space of whatever kind."""
    command = line.split(maxsplit=1)[0] if line.strip() else ""
    return command, line[len(command) + 1 :]
