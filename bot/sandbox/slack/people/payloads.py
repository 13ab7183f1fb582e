"""Builds the payloads that Slack sends to an app, in shapes recorded from Slack."""

from typing import Any

from bot.sandbox.slack.triggers import ResponseTarget
from bot.sandbox.slack.views import View
from bot.sandbox.slack.workspace import Channel, Team, User
from bot.sandbox.slack.world import World

Json = dict[str, Any]
# Keys of snapshots that Slack's message objects do not have.
_OWN_KEYS = ("edits", "channel", "only_for", "is_ephemeral")


class Payloads:
    """Builds payloads; each has its own trigger and response URL."""

    def __init__(self, world: World) -> None:
        self._world = world

    def command(self, user: User, channel: Channel, command: str, text: str) -> Json:
        """The form fields of a slash command."""
        place = ResponseTarget(user=user.id, channel=channel.id)
        team, app = self._world.workspace.team, self._world.workspace.app
        return {
            "token": app.verification_token,
            "team_id": team.id,
            "team_domain": team.domain,
            "channel_id": channel.id,
            "channel_name": channel_name(channel),
            "user_id": user.id,
            "user_name": user.name,
            "command": command,
            "text": text,
            "api_app_id": app.id,
            "is_enterprise_install": "false",
            "response_url": self._response_url(place, "commands"),
            "trigger_id": self._world.triggers.trigger(user.id),
        }

    def message_action(self, user: User, channel: Channel, message: Json, action: Json) -> Json:
        """block_actions from a message (or a private one)."""
        private = bool(message.get("is_ephemeral"))
        container: Json = {
            "type": "message",
            "message_ts": message["ts"],
            "channel_id": channel.id,
            "is_ephemeral": private,
        }
        if "thread_ts" in message:
            container["thread_ts"] = message["thread_ts"]
        place = ResponseTarget(user=user.id, channel=channel.id)
        shown = {} if private else {"message": _as_sent(message)}
        return {
            **self._base("block_actions", user, self._world.workspace.team),
            "container": container,
            "trigger_id": self._world.triggers.trigger(user.id),
            "channel": {"id": channel.id, "name": channel_name(channel)},
            **shown,
            "state": {"values": {}},
            "response_url": self._response_url(place, "actions"),
            "actions": [action],
        }

    def submission(self, view: View) -> Json:
        """view_submission: there is no channel in it."""
        return {
            **self._base("view_submission", view.user, self._world.workspace.team_of(view.user)),
            "trigger_id": self._world.triggers.trigger(view.user.id),
            "view": self._world.views.as_json(view),
            "response_urls": [],
        }

    def _base(self, kind: str, user: User, team: Team) -> Json:
        app = self._world.workspace.app
        person = {"id": user.id, "username": user.name, "name": user.name}
        return {
            "type": kind,
            "user": {**person, "team_id": user.team_id},
            "api_app_id": app.id,
            "token": app.verification_token,
            "team": {"id": team.id, "domain": team.domain},
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _response_url(self, place: ResponseTarget, kind: str) -> str:
        token = self._world.triggers.response_token(place)
        return f"{self._world.base_url}/{kind}/{self._world.workspace.team.id}/{token}"


def channel_name(channel: Channel) -> str:
    """Return the name as in payloads, which hide those of private conversations."""
    return {"im": "directmessage", "private": "privategroup"}.get(channel.kind, channel.name)


def _as_sent(message: Json) -> Json:
    return {key: value for key, value in message.items() if key not in _OWN_KEYS}
