"""Who stands behind a payload, by the ids in it (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.slack.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A user as the payload shows them.

    Attributes:
        id: the user's id.
        team: the workspace that the user belongs to.
        is_outsider: whether that is neither our workspace nor one of our organization.
    """

    id: str
    team: str
    is_outsider: bool


def actor_of(body: Mapping[str, Any], identity: Identity) -> Actor:
    """Read who sent a slash command (flat) or clicked something (nested).

    Channels can be shared with other organizations, and their people can press our buttons
    (docs.slack.dev, apis/slack-connect): so the user's team must be ours.
    """
    user = body.get("user")
    if not isinstance(user, dict):
        team = str(body.get("team_id") or identity.team)
        known = {team, str(body.get("enterprise_id") or "")}
        return Actor(id=str(body["user_id"]), team=team, is_outsider=_is_outside(known, identity))
    installed = _id_of(body, "team")
    team = str(user.get("team_id") or installed or identity.team)
    known = {team}
    if installed in {team, None}:  # the user's own workspace, which may be one of our organization
        known.add(_id_of(body, "enterprise") or "")
    return Actor(id=str(user["id"]), team=team, is_outsider=_is_outside(known, identity))


def channel_of(body: Mapping[str, Any]) -> str | None:
    """Return where the person is, if the payload tells."""
    if body.get("channel_id"):
        return str(body["channel_id"])
    container = body.get("container")
    inside = container.get("channel_id") if isinstance(container, dict) else None
    return _id_of(body, "channel") or (str(inside) if inside else None)


def _is_outside(known: set[str], identity: Identity) -> bool:
    # An organization has many workspaces, and a payload need not name them: users.info decides.
    return not identity.enterprise and not known & identity.homes


def _id_of(body: Mapping[str, Any], name: str) -> str | None:
    part = body.get(name)
    return str(part["id"]) if isinstance(part, dict) and part.get("id") else None
