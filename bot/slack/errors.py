"""Errors of Slack with their sentences for people, and their translation."""

from collections.abc import Mapping
from http import HTTPStatus

import aiohttp
from slack_sdk.errors import SlackApiError

#: The exceptions of the SDK and aiohttp, of which a timeout is an OSError; any other is a bug.
CALL_ERRORS = (SlackApiError, aiohttp.ClientError, OSError)
DEFAULT_RETRY_AFTER = 5.0  #: seconds to wait after a 429 without `Retry-After`
MAX_RETRY_AFTER = 300.0


class SlackError(Exception):
    """Slack did not do what was asked."""

    sentence = "Slack did not do what the bot asked."

    def __init__(self, code: str = "", seconds: float = 0.0) -> None:
        self.code = code
        self.seconds = seconds  #: to wait, where Slack limits the bot's calls
        super().__init__(f"{self.sentence} (Slack: {code})" if code else self.sentence)


class SlackUnavailable(SlackError):
    sentence = "Slack failed or did not answer. Try again in a moment."


class RateLimited(SlackUnavailable):
    sentence = "Slack limits the bot's calls. Try again in a moment."


class InvalidToken(SlackError):
    sentence = "Slack refuses the bot's token. An admin of the bot must install it again."


class CannotPost(SlackError):
    sentence = "The bot cannot post in that channel. Invite it there with /invite."


class ThreadClosed(CannotPost):
    sentence = "The bot cannot reply in that thread."


class MissingScope(CannotPost):
    sentence = "The bot's token lacks a scope. An admin of the bot must install it again with those of manifest.yml."  # noqa: E501 - shown as it stands


class MessageGone(SlackError):
    sentence = "The message is gone or cannot be edited any more."


class AlreadyPosted(SlackError):
    sentence = "This message was posted already."


class ContentRefused(SlackError):
    sentence = "Slack refused the content of a message. Tell an admin of the bot."


class DialogExpired(SlackError):
    sentence = "The dialog could not be opened in time. Click or type again."


class UnknownPerson(SlackError):
    sentence = "Slack does not know this person or group."


class NoUserGroups(UnknownPerson):
    sentence = "The workspace's plan has no user groups."


class SlackRejected(SlackError):
    sentence = (
        "Slack refused what the bot sent. Try again, and tell an admin of the bot if this stays so."
    )


#: Slack's error codes, which its method pages list, by the error that they are translated to.
ERROR_CODES: Mapping[type[SlackError], tuple[str, ...]] = {
    RateLimited: ("ratelimited", "rate_limited", "message_limit_exceeded"),
    SlackUnavailable: (
        "service_unavailable", "fatal_error", "internal_error", "request_timeout",
        "team_added_to_org", "accesslimited",
    ),
    InvalidToken: (
        "invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive",
        "org_login_required", "not_allowed_token_type", "two_factor_setup_required",
    ),
    CannotPost: (
        "channel_not_found", "not_in_channel", "is_archived", "restricted_action",
        "restricted_action_read_only_channel", "restricted_action_thread_only_channel",
        "messages_tab_disabled", "user_not_in_channel", "user_disabled", "cannot_dm_bot",
        "access_denied", "team_access_not_granted", "posting_to_channel_denied",
        "ekm_access_denied", "enterprise_is_restricted", "external_channel_migrating",
        "team_not_found",
        "is_inactive",  # of an edit: the channel is archived
    ),
    ThreadClosed: (
        "restricted_action_non_threadable_channel", "restricted_action_thread_locked",
    ),
    MissingScope: ("missing_scope", "no_permission"),
    MessageGone: (
        "message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found",
        "cannot_reply_to_message",
    ),
    AlreadyPosted: (
        "duplicate_message_not_found", "duplicate_channel_not_found", "duplicate_client_msg_id",
    ),
    ContentRefused: (
        "invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long",
        "no_text", "metadata_too_large", "invalid_metadata_format", "invalid_metadata_schema",
        "metadata_must_be_sent_from_app", "block_mismatch", "too_many_attachments",
        "invalid_attachments", "attachment_payload_limit_exceeded",
    ),
    DialogExpired: (
        "expired_trigger_id", "trigger_expired", "exchanged_trigger_id", "trigger_exchanged",
        "invalid_trigger_id", "invalid_trigger", "not_found", "hash_conflict", "view_not_found",
        "push_limit_reached",
    ),
    UnknownPerson: (
        "user_not_found", "users_not_found", "user_not_visible", "no_such_subteam",
        "subteam_not_found",
    ),
    NoUserGroups: ("plan_upgrade_required",),
}  # fmt: skip
_BY_CODE = {code: kind for kind, codes in ERROR_CODES.items() for code in codes}


def translate_error(error: BaseException) -> SlackError:
    """Translate one of `CALL_ERRORS`; one that is translated stays as it is."""
    if isinstance(error, SlackError):
        return error
    if not isinstance(error, SlackApiError):
        return SlackUnavailable()
    answer, code = error.response, _code_of(error)
    # An answer that is not JSON is a response of aiohttp, with another name for the status.
    status = getattr(answer, "status_code", None) or answer.status
    kind = _BY_CODE.get(code)
    if status == HTTPStatus.TOO_MANY_REQUESTS or kind is RateLimited:
        return RateLimited(code, _retry_after(answer.headers))
    if kind is None and (status >= HTTPStatus.INTERNAL_SERVER_ERROR or not code):
        return SlackUnavailable(code)
    return (kind or SlackRejected)(code)


def _code_of(error: SlackApiError) -> str:
    """Return Slack's error code, or an empty string where the answer has none."""
    try:
        return str(error.response.get("error") or "")
    except (AttributeError, TypeError, ValueError):
        return ""  # not a JSON object, such as the HTML page of a proxy


def _retry_after(headers: Mapping[str, str]) -> float:
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        seconds = float(lower.get("retry-after", ""))
    except ValueError:
        return DEFAULT_RETRY_AFTER
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
