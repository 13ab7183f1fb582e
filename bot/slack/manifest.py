"""Renders the Slack app's manifest from its template, for Socket Mode or for HTTP.

`manifest.yml` at the top of the repository is the one for Socket Mode.
"""

import re
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

#: URLs that Slack accepts and that need no quoting in YAML.
_ADDRESS: Final = re.compile(
    r"https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?"
)

_FOR_SOCKET_MODE: Final = """\
# This manifest is for Socket Mode: the bot opens the connection and needs no public URL.
# After creating the app, create an app-level token (scope connections:write) under
# Basic Information; it is SLACK_APP_TOKEN, which a manifest cannot create.
#
# For HTTP instead: set socket_mode_enabled to false, and put the public URL of the bot,
# https://YOUR-HOST/slack/events, into the three lines marked "HTTP:".
"""

_FOR_HTTP: Final = """\
# This manifest is for HTTP: Slack posts to the URL below, which must be public. The signing secret
# of the created app (SLACK_SIGNING_SECRET) is under Basic Information.
"""


class AddressError(ValueError):
    """Slack does not accept this URL; the message says what to do."""


def manifest(address: str | None = None, command: str = "/cancel-restore") -> str:
    """Return the manifest as YAML with comments, for Socket Mode if `address` is None.

    `address` is the URL of the bot, with or without the path of the events. Raises `AddressError`.
    """
    text = files("bot.slack").joinpath("manifest.yml.template").read_text(encoding="utf-8")
    text = text.replace("{{scopes}}", _commented(SCOPES)).replace("{{command}}", command)
    text = text.replace("{{optional}}", _commented(OPTIONAL_SCOPES))
    if address is None:
        return text.replace("{{mode}}", _FOR_SOCKET_MODE)
    text = text.replace("# HTTP: ", "")
    text = text.replace(f"https://YOUR-HOST{PATH}", events_address(address))
    text = text.replace("socket_mode_enabled: true", "socket_mode_enabled: false")
    return text.replace("{{mode}}", _FOR_HTTP)


def _commented(scopes: Mapping[str, str]) -> str:
    return "".join(f"      # {why}\n      - {scope}\n" for scope, why in scopes.items())


def events_address(address: str) -> str:
    """Return the URL of the events; raises `AddressError`."""
    base = address.strip().rstrip("/")
    if not _ADDRESS.fullmatch(base):
        raise AddressError(
            "Slack posts to https addresses of plain characters only: "
            "give one such as https://bot.example.com."
        )
    return base if base.endswith(PATH) else f"{base}{PATH}"
