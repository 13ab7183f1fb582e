"""Reads Slack's payloads and users: actor, channel, account."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.cancellation.people import Kind
from bot.slack.client import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The user who caused a payload, by the ids in it.

    An outsider's workspace, `team`, is neither the bot's nor one of its organization.
    """

    id: str
    team: str
    is_outsider: bool


def actor_of(body: Mapping[str, Any], identity: Identity) -> Actor:
    """Read the user of a slash command (flat fields) or of an interaction (nested fields).

    A channel can be shared with other organizations, whose people can click the bot's buttons
    (docs.slack.dev, apis/slack-connect). So the user's team is compared with the bot's.
    """
    installed = part_of(body, "team").get("id") or None
    if user := body.get("user"):
        team = user.get("team_id") or installed or identity.team
        known = {team}
        if installed in {team, None}:  # the user's own workspace, perhaps of an organization
            known.add(part_of(body, "enterprise").get("id"))
    else:
        user = {"id": body["user_id"]}
        team = body.get("team_id") or identity.team
        known = {team, body.get("enterprise_id")}
    # A payload need not name every workspace of an organization: users.info decides there.
    is_outsider = not identity.enterprise and not known & identity.homes
    return Actor(id=user["id"], team=team, is_outsider=is_outsider)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user, as `users.info` describes it."""

    kind: Kind  #: in the bot's workspace
    ids: frozenset[str] = frozenset()  #: on Enterprise Grid, in the workspace and the organization
    teams: frozenset[str] = frozenset()  #: the user's workspaces, and the organization
    name: str = ""  #: that others see
    email: str | None = None  #: None also without the scope `users:read.email`


def read_account(user: Mapping[str, Any], identity: Identity) -> Account:
    in_organization, profile = part_of(user, "enterprise_user").get("id"), part_of(user, "profile")
    names = (profile.get("display_name"), profile.get("real_name"), user.get("real_name"))
    return Account(
        kind=kind_of(user, identity),
        ids=frozenset({in_organization, str(user.get("id"))} if in_organization else ()),
        teams=_teams_of(user),
        name=next((str(name) for name in (*names, user.get("name")) if name), ""),
        email=profile.get("email"),
    )


def aliases_of(user: str, accounts: Mapping[str, Account]) -> frozenset[str]:
    """Return the other ids of a person: those of the account, and keys with a common id."""
    ids = accounts[user].ids | {user}
    same = (other for other, account in accounts.items() if not ids.isdisjoint(account.ids))
    return ids.union(same) - {user}


def kind_of(user: Mapping[str, Any], identity: Identity) -> Kind:
    """Read the kind of a user; only an explicit full member of the workspace is a `MEMBER`."""
    teams = _teams_of(user)
    if user.get("is_stranger") or (teams and not teams & identity.homes) or not user.get("id"):
        return Kind.OUTSIDER
    if user.get("deleted"):
        return Kind.DEACTIVATED
    if user.get("is_bot") or user.get("is_workflow_bot"):
        return Kind.BOT
    if user.get("is_restricted") or user.get("is_ultra_restricted"):
        return Kind.GUEST
    elsewhere = identity.enterprise and identity.team not in teams
    return Kind.COLLEAGUE if elsewhere else Kind.MEMBER


def _teams_of(user: Mapping[str, Any]) -> frozenset[str]:
    enterprise = part_of(user, "enterprise_user")
    teams = {user.get("team_id"), enterprise.get("enterprise_id"), *enterprise.get("teams", ())}
    return frozenset(team for team in teams if team)


def part_of(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return part if isinstance(part := body.get(name), dict) else {}
