"""auth.test, apps.connections.open, bots.info, and what Slack says of users and groups."""

from typing import Any

from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.web_api.arguments import Args
from bot.sandbox.slack.web_api.auth import Caller
from bot.sandbox.slack.web_api.methods.method import Method
from bot.sandbox.slack.workspace import User
from bot.sandbox.slack.world import World

Json = dict[str, Any]


def auth_test(world: World, _args: Args, caller: Caller) -> Json:
    team, app = world.workspace.team, world.workspace.app
    if caller.token_type == "app":
        return {"app_name": app.name, "app_id": app.id}
    return {
        "url": f"https://{team.domain}.slack.com/",
        "team": team.name,
        "user": world.workspace.user(app.bot_user).name,
        "team_id": team.id,
        "user_id": app.bot_user,
        "bot_id": app.bot_id,
        "is_enterprise_install": False,
    }


def connections_open(world: World, _args: Args, _caller: Caller) -> Json:
    """A Socket Mode address that can be used once."""
    ticket = world.ids.secret()
    world.tickets.add(ticket)
    address = world.base_url.replace("http://", "ws://")
    return {"url": f"{address}/link/?ticket={ticket}&app_id={world.workspace.app.id}"}


def users_info(world: World, args: Args, _caller: Caller) -> Json:
    user = world.workspace.users.get(args.text("user"))
    if user is None:
        raise ApiError("user_not_found")
    return {"user": user_json(world, user)}


def users_lookup_by_email(world: World, args: Args, _caller: Caller) -> Json:
    """The active user of this workspace with an address, in any case."""
    email = args.text("email").casefold()
    users = world.workspace.users.values()
    of_email = (each for each in users if each.email.casefold() == email and not each.deleted)
    user = next(filter(world.workspace.is_here, of_email), None)
    if user is None:
        raise ApiError("users_not_found")
    return {"user": user_json(world, user)}


def user_json(world: World, user: User) -> Json:
    """A user object; external people have fewer fields, as with Slack Connect."""
    name = user.name.capitalize()
    reads_email = "users:read.email" in world.workspace.app.scopes
    email = {"email": user.email} if reads_email else {}
    shown: Json = {
        "id": user.id,
        "team_id": user.team_id,
        "name": user.name,
        "deleted": user.deleted,
        "real_name": name,
        "profile": {"real_name": name, "display_name": name, "team": user.team_id} | email,
        "is_bot": user.is_bot,
        "is_app_user": False,
    }
    if not world.workspace.is_here(user):
        return {**shown, "is_stranger": True}
    if user.deleted:
        return shown
    return {
        **shown,
        "tz": "Europe/Madrid",
        "is_admin": False,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": user.is_restricted,
        "is_ultra_restricted": user.is_ultra_restricted,
    }


def bots_info(world: World, args: Args, _caller: Caller) -> Json:
    app = world.workspace.app
    if args.text("bot") != app.bot_id:
        raise ApiError("bot_not_found")
    bot = {"id": app.bot_id, "deleted": False, "name": app.name, "app_id": app.id}
    return {"bot": {**bot, "user_id": app.bot_user, "icons": {}}}


def group_users(world: World, args: Args, _caller: Caller) -> Json:
    """Members of a group; deactivated people are not listed."""
    if not world.workspace.has_user_groups:
        raise ApiError("plan_upgrade_required")
    group = world.workspace.groups.get(args.text("usergroup"))
    if group is None:
        raise ApiError("no_such_subteam")
    return {"users": [u for u in group.users if not _is_deactivated(world, u)]}


def _is_deactivated(world: World, user_id: str) -> bool:
    user = world.workspace.users.get(user_id)
    return user is not None and user.deleted


METHODS = {
    "auth.test": Method(run=auth_test, tokens=("bot", "app")),
    "apps.connections.open": Method(
        run=connections_open, tokens=("app",), any_of=("connections:write",)
    ),
    "users.info": Method(
        run=users_info, required=("user",), any_of=("users:read",), takes_json=False
    ),
    "users.lookupByEmail": Method(
        run=users_lookup_by_email,
        required=("email",),
        any_of=("users:read.email",),
        takes_json=False,
    ),
    "bots.info": Method(run=bots_info, required=("bot",), any_of=("users:read",), takes_json=False),
    "usergroups.users.list": Method(
        run=group_users, required=("usergroup",), any_of=("usergroups:read",), takes_json=False
    ),
}
