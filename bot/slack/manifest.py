"""Renders the Slack app's manifest, `manifest.yml`, from its template."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

#: The OAuth scopes of the bot, each with its reason.
SCOPES: Final[Mapping[str, str]] = {
    "commands": "the slash command",
    "chat:write": "the card of a request, its thread, and direct messages",
    "chat:write.public": "cards in public channels without an invitation of the bot",
    "users:read": "whether a person is a full member, a guest, or of another organization",
    "users:read.email": (
        "whether the person who keeps a download has started it, and who is asked about a download"
    ),
    "usergroups:read": "user groups as requesters and approvers",
    "channels:read": "whether the bot can post to a public channel",
    "groups:read": "whether the bot can post to a private channel",
}

#: The scopes that an installation may leave out, each with what does not work then.
OPTIONAL_SCOPES: Final[Mapping[str, str]] = {
    "chat:write.public": (
        "the card of a channel without the bot goes to direct messages; where approvers get none, "
        "requests that need approval are refused"
    ),
    "usergroups:read": "people of user groups in the settings have no rights",
    "users:read.email": (
        "an approver who started a download can keep it in quarantine, and no one is asked whether "
        "a download is theirs"
    ),
    "groups:read": (
        "cards of private channels go to direct messages, and requests there that need approval "
        "are refused"
    ),
}

#: The path of Slack's payloads in HTTP mode.
PATH: Final = "/slack/events"


def manifest(command: str = "/cancel-restore", address: str | None = None) -> str:
    """Return the manifest as YAML: for HTTP at the URL `address`, else for Socket Mode."""
    text = files("bot.slack").joinpath("manifest.yml.template").read_text(encoding="utf-8")
    text = text.replace("{{scopes}}", _commented(SCOPES)).replace("{{command}}", command)
    text = text.replace("{{optional}}", _commented(OPTIONAL_SCOPES))
    if address is None:
        return text
    text = text.replace("# HTTP: ", "").replace("https://YOUR-HOST", address.removesuffix(PATH))
    return text.replace("socket_mode_enabled: true", "socket_mode_enabled: false")


def _commented(scopes: Mapping[str, str]) -> str:
    return "".join(f"      # {why}\n      - {scope}\n" for scope, why in scopes.items())
