"""Errors of Slack, with their sentences for people, and their translation."""

import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.cancellation import errors
from bot.cancellation.job import Job
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import NO_ONE
from bot.slack import blockkit, ids, job_lines, mrkdwn
from bot.slack.deployment import command_code
from bot.storage.replicas import CallBudget
from bot.tasks import log_errors

if TYPE_CHECKING:  # the client translates its errors by this module
    from bot.slack.client import Links

#: The exceptions of the SDK and aiohttp, of which a timeout is an OSError; any other is a bug.
CALL_ERRORS = (SlackApiError, aiohttp.ClientError, OSError)
#: Errors of Slack, Atlas or the database after which the same may be done at the next try.
TRANSIENT = (errors.RightsNotChecked, errors.StorageError, errors.RateLimitReserved)
DEFAULT_RETRY_AFTER = 5.0  #: seconds to wait after a 429 without `Retry-After`
MAX_RETRY_AFTER = 300.0  #: seconds to wait after a 429 at most


class SlackError(Exception):
    """Slack did not do what was asked."""

    sentence: str  #: for people; that of an instance has Slack's code, if there is one

    def __init__(self, code: str = "", seconds: float = 0.0) -> None:
        self.code = code
        self.seconds = seconds  # to wait, where Slack limits the bot's calls
        if code:
            self.sentence = f"{self.sentence} (Slack: {code})"
        super().__init__(self.sentence)


class SlackUnavailable(SlackError):
    sentence = "Slack did not answer; please try again in a moment."


class RateLimited(SlackUnavailable):
    sentence = "Slack limits the bot's calls; please try again in a moment."


class NotCalled(RateLimited):
    """The call was not made."""


class InvalidToken(SlackError):
    sentence = "Slack refuses the bot's token; an admin of the bot must install it again."
    #: The codes by which Slack refuses a token for every call.
    for_each_call = frozenset(
        {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"}
    )


class SocketModeOff(SlackError):
    sentence = (
        "Socket Mode is switched off for the app; an admin of the app must switch it on again."
    )


class TooManyConnections(SlackError):
    sentence = (
        "The app has all the connections that Slack allows it; is the app token used elsewhere?"
    )


class CannotPost(SlackError):
    sentence = "The bot cannot post in that channel; invite it there with /invite."


class MessageNotEditable(SlackError):
    sentence = "The message cannot be edited any more."


class MessageDeleted(SlackError):
    sentence = "The message was deleted."


class AlreadyPosted(SlackError):
    sentence = "This message was posted already."


class DialogExpired(SlackError):
    sentence = "The dialog could not be opened in time; please type the command again."


class SlackRejected(SlackError):
    sentence = "Slack refused what the bot sent: please try again, and tell an admin of the bot if this stays so."  # noqa: E501 - shown as it stands


#: Slack's error codes, which its method pages list, by the error that they are translated to.
ERROR_CODES: Mapping[type[SlackError], tuple[str, ...]] = {
    RateLimited: ("ratelimited", "rate_limited", "message_limit_exceeded"),
    SlackUnavailable: (
        "service_unavailable", "fatal_error", "internal_error", "request_timeout",
        "team_added_to_org", "accesslimited",
    ),
    InvalidToken: (
        "invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive",
        "org_login_required", "missing_scope", "not_allowed_token_type",
    ),
    CannotPost: (
        "channel_not_found", "not_in_channel", "is_archived", "restricted_action",
        "restricted_action_read_only_channel", "restricted_action_thread_only_channel",
        "restricted_action_non_threadable_channel", "restricted_action_thread_locked",
        "cannot_reply_to_message", "thread_not_found", "messages_tab_disabled",
        "user_not_in_channel", "user_not_found", "user_disabled", "cannot_dm_bot", "access_denied",
        "team_access_not_granted", "no_permission", "posting_to_channel_denied",
        "ekm_access_denied",
    ),
    MessageNotEditable: ("cant_update_message", "edit_window_closed", "is_inactive"),
    MessageDeleted: ("message_not_found",),
    AlreadyPosted: (
        "duplicate_message_not_found", "duplicate_channel_not_found", "duplicate_client_msg_id",
    ),
    DialogExpired: (
        "expired_trigger_id", "trigger_expired", "exchanged_trigger_id", "trigger_exchanged",
        "invalid_trigger_id", "invalid_trigger", "not_found", "hash_conflict", "view_not_found",
        "push_limit_reached",
    ),
}  # fmt: skip

#: Slack's codes for a user who is not in the workspace, and for a group that does not exist.
UNKNOWN_USER = frozenset({"user_not_found", "users_not_found", "user_not_visible"})
UNKNOWN_GROUP = frozenset({"no_such_subteam", "subteam_not_found"})
BUDGET_USED = "the bot's own limit"  #: the code of a call that was not made

#: Why Slack did not say who may do something, by its error code.
REASONS: Mapping[str, str] = {
    "": "Slack did not answer in time.",
    BUDGET_USED: "The bot has read user groups as often as Slack allows in a minute.",
    "missing_scope": "The bot lacks a scope (users:read, usergroups:read).",
    "plan_upgrade_required": "This workspace's Slack plan has no user groups.",
    **dict.fromkeys(UNKNOWN_GROUP, "A user group of the bot's settings does not exist."),
    **dict.fromkeys(UNKNOWN_USER, "Slack does not know this user."),
    "user_not_visible": "The bot may not see this user.",
}

_BY_CODE = {code: kind for kind, codes in ERROR_CODES.items() for code in codes}


def code_of(error: SlackApiError) -> str:
    """Return Slack's error code, or an empty string where the answer has none."""
    try:
        return str(error.response.get("error") or "")
    except (AttributeError, TypeError, ValueError):
        return ""  # not a JSON object, such as the HTML page of a proxy


def translate_error(error: BaseException) -> SlackError:
    """Translate one of `CALL_ERRORS`; one that is translated stays as it is."""
    if isinstance(error, SlackError):
        return error
    if not isinstance(error, SlackApiError):
        return SlackUnavailable()
    answer, code = error.response, code_of(error)
    # An answer that is not JSON is a response of aiohttp, with another name for the status.
    status = getattr(answer, "status_code", None) or answer.status
    kind = _BY_CODE.get(code)
    if status == HTTPStatus.TOO_MANY_REQUESTS or kind is RateLimited:
        return RateLimited(code, _retry_after(answer.headers))
    if kind is None and (status >= HTTPStatus.INTERNAL_SERVER_ERROR or not code):
        return SlackUnavailable(code)
    return (kind or SlackRejected)(code)


#: The methods whose calls all replicas pause together, and of which they count some.
SHARED = frozenset({"chat.postMessage", "chat.update", "usergroups.users.list"})

#: Of the group reads that Slack allows in a minute, those for clicks without the right: a run
#: needs the others before its DELETE.
GROUP_READS_WITHOUT_RIGHT = 6
READ_AGAIN = "usergroups.users.list without the right"  #: by which all replicas count them
MINUTE = 60.0


class CallLimits:
    """Calls no method before Slack's Retry-After is over; `monotonic` is in seconds."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, shared: CallBudget | None = None
    ) -> None:
        self._monotonic = monotonic
        self._shared = shared
        self._free_at: dict[str, float] = {}

    async def call(
        self,
        method: Callable[..., Awaitable[AsyncSlackResponse]],
        budget: tuple[int, float, int] | None = None,
        **arguments: Any,  # noqa: ANN401 - those of the method
    ) -> AsyncSlackResponse:
        """Call a method; raises `NotCalled` while its Retry-After or its budget forbids that.

        The budget is a number of calls in a window of seconds, for all replicas together, and the
        number of calls that wait for it already. Raises `StorageError` if it cannot be read.
        """
        name = method.__name__.replace("_", ".")
        self._check(name)
        shared = self._shared if name in SHARED else None
        if shared and budget and (seconds := await shared.take(name, *budget)):
            raise NotCalled(BUDGET_USED, seconds)
        self._check(name)  # another call may have been limited while this one was counted
        try:
            return await method(**arguments)
        except SlackError as error:
            if seconds := error.seconds:
                free_at = self._monotonic() + seconds
                self._free_at[name] = max(self._free_at.get(name, free_at), free_at)
                if shared:
                    with log_errors("Retry-After not recorded", method=name):
                        await shared.pause(name, seconds)
            raise

    async def read_pause(self, method: str) -> None:
        """Let a Retry-After that another process was given hold here, too."""
        if self._shared:
            with log_errors("Retry-After not read", method=method):
                free_at = self._monotonic() + await self._shared.paused(method)
                self._free_at[method] = max(self._free_at.get(method, free_at), free_at)

    async def may_read_again(self, groups: int) -> bool:
        """Whether groups may be read again for a person without a right by the last answers."""
        limit = max(1, GROUP_READS_WITHOUT_RIGHT // max(1, groups))
        return not (groups and self._shared and await self._shared.take(READ_AGAIN, limit, MINUTE))

    def _check(self, name: str) -> None:
        now = self._monotonic()
        if (blocked := self._free_at.get(name, now) - now) > 0:
            raise NotCalled("ratelimited", blocked)


def not_checked(error: BaseException) -> errors.RightsNotChecked:
    """Translate why Slack did not say who may do something."""
    if isinstance(error, errors.StorageError):
        why = "The bot's database, which counts the reads of user groups, did not answer."
        return errors.RightsNotChecked(why, is_temporary=True)
    meaning = translate_error(error)
    why = REASONS.get(meaning.code, f"Slack answered {meaning.code}.")
    is_temporary = isinstance(meaning, SlackUnavailable)
    return errors.RightsNotChecked(why, meaning.seconds, meaning.code, is_temporary)


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        return min(max(0.0, float(headers.get("Retry-After", ""))), MAX_RETRY_AFTER)
    except ValueError:
        return DEFAULT_RETRY_AFTER


def other_version(part: str) -> str:
    return f"This {part} is from another version of the bot. Please type {command_code()}."


def internal_error_text(reference: str) -> str:
    return (
        f"Something went wrong, and the bot's log has the details under {mrkdwn.code(reference)}. "
        "If a card is in the channel, it shows what was done; otherwise please try again."
    )


def button_of(body: Mapping[str, Any]) -> blockkit.Again | None:
    """Return the button that repeats a command or a click, where one can."""
    action: Mapping[str, Any] = next(iter(body.get("actions") or ()), {})
    if "command" in body:
        action = {"action_id": ids.COMMAND, "value": str(body.get("text") or "")}
    action_id, value = action.get("action_id"), action.get("value")
    # A dialog's own button needs that dialog, and a picker has no value.
    if action_id == ids.TRY_AGAIN or not isinstance(value, str) or len(value) > blockkit.VALUE:
        return None
    return str(action_id), value


def private_refusal(
    error: Exception, again: blockkit.Again | None, links: "Links | None" = None, hint: str = ""
) -> dict[str, Any]:
    """Say privately why something was not done; a transient error gets a button to try again."""
    is_transient = isinstance(error, TRANSIENT)
    return blockkit.private(sentence_for(error, links) + hint, again if is_transient else None)


def see_card(request: Request, links: "Links | None") -> str:
    """Refer to a request's card, once it is posted (mrkdwn to append)."""
    url = links.card_of(request) if links else None
    return f" See {mrkdwn.link(url, 'its card')}." if url else ""


def asked_already(request: Request, links: "Links | None") -> str:
    """Say who asked to cancel this download before, and what becomes of it (mrkdwn)."""
    what = f"{mrkdwn.asker(request)} asked to cancel this download already,"
    if request.state is State.QUARANTINED:
        what = "This download is in quarantine already, since"
    when, status = mrkdwn.date(request.created_at), mrkdwn.request_status(request)
    return f"{what} {when}. {status}{see_card(request, links)}"


def taken(request: Request, job: Job | None, links: "Links | None") -> str:
    """Name the download, say how long is left, and who asked to cancel it before (mrkdwn)."""
    name = mrkdwn.capitalised(mrkdwn.summary(request))
    return f"{name}{job_lines.link_below(request, job)}\n{asked_already(request, links)}"


def sentence_for(error: Exception, links: "Links | None" = None) -> str:
    """Return what went wrong as safe mrkdwn, with a hint about what or whom to ask next."""
    sentence = mrkdwn.escape(str(error))
    match error:
        case errors.JobAlreadyRequested(request=request, job=job):
            return taken(request, job, links)
        case errors.AlreadyReviewed(request=request) if request.reviewed_at:
            by = mrkdwn.person(request.reviewed_by)
            hint = f"{by} reviewed it, {mrkdwn.date(request.reviewed_at)}."
        case errors.RequestExpired(request=request):
            sentence = (
                f"This request ended {mrkdwn.date(request.expires_at)} without enough approvals: "
                "the bot does not cancel the download."
            )
            hint = f"{command_code(request.ref.job_id)} asks again."
            hint += job_lines.link_below(request, error.job)
        case errors.DisownedBefore(request=request, asked=asked):
            sentence = error.sentence.format(asked=mrkdwn.person(asked))
            hint = mrkdwn.request_status(request) + job_lines.link_below(request, error.job)
        case errors.StateConflict(request=request, job=job):
            return mrkdwn.request_status(request) + job_lines.link_below(request, job)
        case errors.RequestNotFound():
            hint = f"{command_code('history')} lists the last requests."
        case errors.ChannelNotAllowed(channels=channels):
            hint = f"It works in {mrkdwn.join(map(mrkdwn.channel, sorted(channels)))}."
        case errors.NotTheRequester(requester=requester):
            hint = f"That is {mrkdwn.person(requester)}."
        case errors.NotAllowed(ask=ask) if ask not in {None, NO_ONE}:
            who = mrkdwn.people(ask)
            is_one = len(ask.users) == 1 and not (ask.groups or ask.everyone)
            hint = f"This may be done by {who}: please ask one of them."
            hint = f"Please ask {who}, who may do this." if is_one else hint
        case _:
            return sentence
    return f"{sentence} {hint}"
