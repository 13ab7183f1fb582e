"""What can go wrong with Slack, as a tree, and the table from Slack's error codes to it.

SlackTrouble                    Slack did not do what was asked
├── NotReachable                no answer, or one that says "later"
│   └── RateLimited
├── BadToken                    the bot's own credentials are refused
├── SocketModeOff               the app has no Socket Mode any more
├── TooManyConnections          others have all the connections of the app
├── CannotPostThere             this channel takes no message of ours
├── MessageGone                 the message to edit cannot be edited
├── PostedBefore                this very message was posted already
├── DialogTooLate               the trigger or the view is no more
├── DirectoryTrouble            it cannot be told who somebody is
└── SlackRefused                anything else
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

import aiohttp
from slack_sdk.errors import SlackApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What the Web API clients raise; any other exception is a mistake of ours.
CALL_ERRORS = (SlackApiError, aiohttp.ClientError, asyncio.TimeoutError, OSError)

#: Seconds to wait when Slack says "slow down" and not for how long.
DEFAULT_WAIT = 5.0

#: Seconds to wait at most, whatever is asked for: nothing of ours may rest for days.
LONGEST_WAIT = 60.0

FIRST_SERVER_ERROR = 500
TOO_MANY_REQUESTS = 429


class SlackTrouble(Exception):
    """Slack did not do what was asked."""

    def __init__(self, code: str = "") -> None:
        self.code = code
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """What people read: the leaf's docstring, with Slack's code where there is one."""
        said = inspect.cleandoc(type(self).__doc__ or "").replace("\n", " ")
        return f"{said} (Slack: {self.code})" if self.code else said


class NotReachable(SlackTrouble):
    """Slack did not answer; please try again in a moment."""


class RateLimited(NotReachable):
    """Slack asked us to slow down; please try again in a moment."""

    def __init__(self, code: str = "", seconds: float = DEFAULT_WAIT) -> None:
        self.seconds = seconds
        super().__init__(code)


class BadToken(SlackTrouble):
    """Slack refuses the bot's token; an admin of the bot must install it again."""


class SocketModeOff(SlackTrouble):
    """Socket Mode is switched off for the app; an admin of the app must switch it on again."""


class TooManyConnections(SlackTrouble):
    """The app has all the connections that Slack allows it; is the app token used elsewhere?"""


class CannotPostThere(SlackTrouble):
    """The bot cannot post in that channel; invite it there with /invite."""


class MessageGone(SlackTrouble):
    """The message cannot be edited any more."""


class PostedBefore(SlackTrouble):
    """This message was posted already."""


class DialogTooLate(SlackTrouble):
    """The dialog could not be opened in time; please type the command again."""


class DirectoryTrouble(SlackTrouble):
    """It could not be checked who may do this, so nothing was done; please try again."""

    def __init__(self, why: str, code: str = "") -> None:
        self.why = why
        super().__init__(code)

    @property
    def sentence(self) -> str:
        return f"{self.why} So it could not be checked who may do this, and nothing was done."


class SlackRefused(SlackTrouble):
    """Slack refused the call."""


#: Slack's codes (its method pages list them), by what they mean for us.
MEANINGS: Mapping[type[SlackTrouble], frozenset[str]] = {
    RateLimited: frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"}),
    NotReachable: frozenset(
        {"service_unavailable", "fatal_error", "internal_error", "request_timeout",
         "team_added_to_org", "accesslimited"}
    ),
    BadToken: frozenset(
        {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive",
         "org_login_required", "ekm_access_denied", "missing_scope", "no_permission",
         "not_allowed_token_type"}
    ),
    CannotPostThere: frozenset(
        {"channel_not_found", "not_in_channel", "is_archived", "restricted_action",
         "restricted_action_read_only_channel", "restricted_action_thread_only_channel",
         "restricted_action_non_threadable_channel", "restricted_action_thread_locked",
         "cannot_reply_to_message", "thread_not_found", "messages_tab_disabled",
         "user_not_in_channel", "user_not_found", "cannot_dm_bot", "access_denied",
         "team_access_not_granted"}
    ),
    MessageGone: frozenset(
        {"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"}
    ),
    PostedBefore: frozenset(
        {"duplicate_message_not_found", "duplicate_channel_not_found", "duplicate_client_msg_id"}
    ),
    DialogTooLate: frozenset(
        {"expired_trigger_id", "trigger_expired", "exchanged_trigger_id", "trigger_exchanged",
         "invalid_trigger_id", "invalid_trigger", "not_found", "hash_conflict", "view_not_found",
         "push_limit_reached"}
    ),
}  # fmt: skip

_BY_CODE = {code: kind for kind, codes in MEANINGS.items() for code in codes}


def meaning_of(error: BaseException) -> SlackTrouble:
    """Translate what a Web API client raised."""
    if not isinstance(error, SlackApiError):
        return NotReachable()
    answer = error.response
    status = int(getattr(answer, "status_code", 0) or getattr(answer, "status", 0))
    code = code_of(error)
    kind = _BY_CODE.get(code)
    if status == TOO_MANY_REQUESTS or kind is RateLimited:
        return RateLimited(code, _seconds_to_wait(error))
    if kind is None and (status >= FIRST_SERVER_ERROR or not code):
        return NotReachable(code)
    return (kind or SlackRefused)(code)


def code_of(error: SlackApiError) -> str:
    """Return Slack's own word for the error, or an empty string where the answer had none."""
    try:
        return str(error.response.get("error") or "")
    except (AttributeError, TypeError, ValueError):
        return ""  # an answer that was no JSON object: a proxy's page, an aiohttp response


def _seconds_to_wait(error: SlackApiError) -> float:
    headers = getattr(error.response, "headers", None) or {}
    given = headers.get("Retry-After") or headers.get("retry-after") or ""
    try:
        return min(max(0.0, float(given)), LONGEST_WAIT)
    except ValueError:
        return DEFAULT_WAIT
