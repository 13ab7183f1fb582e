"""Answers events: somebody opens the Home tab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.slack.payloads import actor_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.bolt_app import Dependencies

HOME = "home"


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def opened(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        event = body["event"]
        person = event.get("user")
        if event.get("tab", HOME) == HOME and isinstance(person, str) and person:
            actor = actor_of(person_in(body), deps.identity)
            drawn = bool(event.get("view"))
            deps.background.start(deps.home.publish(actor, drawn=drawn), "home")

    app.event("app_home_opened")(opened)


def person_in(body: Mapping[str, Any]) -> dict[str, Any]:
    """Write an event's person as other payloads do (pure)."""
    team = body.get("team_id")
    view = body["event"].get("view") or {}
    user = {"id": body["event"]["user"], "team_id": view.get("team_id") or team}
    return {"user": user, "team": {"id": team}}
