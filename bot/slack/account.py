"""Reads user objects of Slack: the kind of account, its workspaces and its other ids (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.cancellation.people import Kind
from bot.slack.client import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user, as `users.info` describes it.

    Attributes:
        kind: the kind of the user in the bot's workspace.
        ids: on Enterprise Grid, the person's ids in the workspace and in the organization.
        teams: the ids of the user's workspaces, and of the organization.
    """

    kind: Kind
    ids: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()


def read_account(user: Mapping[str, Any], identity: Identity) -> Account:
    """Read a user object."""
    in_organization = _enterprise_user(user).get("id")
    return Account(
        kind=kind_of(user, identity),
        ids=frozenset({in_organization, str(user.get("id"))} if in_organization else ()),
        teams=_teams_of(user),
    )


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
    enterprise = _enterprise_user(user)
    teams = {user.get("team_id"), enterprise.get("enterprise_id"), *enterprise.get("teams", ())}
    return frozenset(team for team in teams if team)


def _enterprise_user(user: Mapping[str, Any]) -> Mapping[str, Any]:
    return user.get("enterprise_user") or {}
