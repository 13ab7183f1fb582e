"""Builds the Bolt app with the listeners of all features, the fallbacks and the error handler."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from inspect import isawaitable
from typing import Any, TypeAlias

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot.cancellation.job import StarterAnswer
from bot.cancellation.lifecycle import State
from bot.log_config import bind_to_log, is_request_id, new_request_id
from bot.slack import command, deployment, home, ids, lists, mrkdwn, question
from bot.slack.blockkit import REQUEST_KEY, decode_metadata, plain, private
from bot.slack.client import SlackClient
from bot.slack.decisions import Decisions, on_ask, on_decision
from bot.slack.dependencies import Dependencies
from bot.slack.deployment import command_code
from bot.slack.dialog import handlers as dialog_handlers
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.handlers import Response, update_with
from bot.slack.dialog.state import PICKERS
from bot.slack.errors import button_of, internal_error_text, other_version
from bot.tasks import new_reference

log = structlog.get_logger(__name__)

ANYTHING = re.compile(".*", re.DOTALL)

#: Handles a payload, and returns the arguments of Bolt's `ack`, if there are some. Slack has the
#: ack once the listener has returned: what that says is durable, and longer work runs in the
#: background.
Listener: TypeAlias = Callable[
    [Dependencies, dict[str, Any]], Awaitable[Response | None] | Response | None
]

SHORTCUTS: Mapping[str, Listener] = {ids.SHORTCUT: command.on_shortcut}
EVENTS: Mapping[str, Listener] = {"app_home_opened": home.on_opened}
ACTIONS: Mapping[str, Listener] = {
    ids.OPEN: partial(command.on_button, "button clicked"),
    ids.COMMAND: partial(command.on_button, "command tried again"),
    ids.APPROVE: partial(on_decision, Decisions.approve),
    ids.WITHDRAW: partial(on_decision, Decisions.withdraw),
    ids.RETRY: partial(on_decision, Decisions.retry),
    ids.REVIEW: partial(on_decision, Decisions.review),
    ids.DENY: partial(on_ask, State.AWAITING, ids.DENY_DIALOG),
    ids.KEEP: partial(on_ask, State.QUARANTINED, ids.KEEP_DIALOG),
    ids.MINE: partial(question.on_answer, StarterAnswer.MINE),
    ids.NOT_MINE: partial(question.on_answer, StarterAnswer.NOT_MINE),
    ids.MORE: lists.on_more,
    ids.REFRESH: home.republish,
    **dict.fromkeys((*PICKERS, ids.TRY_AGAIN), dialog_handlers.read_selection),
}
VIEWS: Mapping[str, Listener] = {
    ids.DIALOG: dialog_handlers.on_submission,
    ids.DENY_DIALOG: partial(dialog_handlers.on_decision, Decisions.deny),
    ids.KEEP_DIALOG: partial(dialog_handlers.on_decision, Decisions.keep),
}

#: The buttons of a card; their value is the request's id.
CARD_ACTIONS = frozenset({ids.APPROVE, ids.DENY, ids.KEEP, ids.WITHDRAW, ids.RETRY, ids.REVIEW})


class App(AsyncApp):
    """Bolt's app for verified payloads, with all listeners.

    It calls `on_ack` with the seconds that each ack took, and traces the request behind each
    payload.
    """

    def __init__(
        self,
        deps: Dependencies,
        on_ack: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        identity = deps.identity
        result = AuthorizeResult(
            enterprise_id=identity.enterprise,
            team_id=identity.team,
            bot_id=identity.bot,
            bot_user_id=identity.user,
            bot_token=deps.client.token,
        )

        async def authorize() -> AuthorizeResult:
            return result

        super().__init__(
            # Without a name Bolt searches all modules for the file that called it.
            name=__name__,
            # Bolt gets the token from `authorize`.
            client=SlackClient(None, deps.client.base_url, deps.client.session),
            # A constant result saves Bolt's `auth.test` for each payload.
            authorize=authorize,
            # The default runner polls for the ack every 10 ms and loses the ack of a listener that
            # fails immediately. With this flag the response is built when the listener returns.
            process_before_response=True,
        )
        self._on_ack = on_ack
        _register_listeners(self, deps)
        _register_error_handler(self, deps)

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        began = time.perf_counter()
        new_id = new_request_id() if may_begin(req.body) else None
        try:
            with bind_to_log(request_in(req.body) or new_id):
                return await super().async_dispatch(req)
        finally:
            self._on_ack(time.perf_counter() - began)


def request_in(body: Mapping[str, Any]) -> str | None:
    """Return the id of the request that a payload is about, or that its dialog may become."""
    action = _action(body)
    is_decision = action.get("action_id") in CARD_ACTIONS
    view = body.get("view")
    metadata = decode_metadata(view) if isinstance(view, dict) else {}
    found = action.get("value") if is_decision else metadata.get(REQUEST_KEY)
    return found if isinstance(found, str) and is_request_id(found) else None


def may_begin(body: Mapping[str, Any]) -> bool:
    """Return whether a payload may open the dialog of a new request."""
    opens = _action(body).get("action_id") == ids.OPEN
    return opens or "command" in body or body.get("type") == "message_action"


def _action(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the clicked action, which the receivers have checked; empty without one."""
    actions = body.get("actions") if body.get("type") == "block_actions" else None
    return next(iter(actions or ()), {})


#: What a picker of another version offers: Slack shows the text, which an empty list has not.
OTHER_PICKER = {
    "text": plain("Dialog of another version: type the command again"),
    "value": "another version",
}


def _register_listeners(app: AsyncApp, deps: Dependencies) -> None:
    def nothing(_deps: Dependencies, _body: dict[str, Any]) -> None:
        return None

    # Bolt asks one listener after the other, and calls the first that matches: the command is the
    # first, for its ack to be fast, and each kind ends with what answers all others.
    kinds: tuple[tuple[Callable[..., Any], Mapping[str, Listener], Listener], ...] = (
        (app.command, {deployment.command(): command.on_command}, _unknown_command),
        (app.action, ACTIONS, partial(_unknown, "button")),
        (app.view, VIEWS, _unknown_view),
        (app.shortcut, SHORTCUTS, partial(_unknown, "shortcut")),
        (app.event, EVENTS, nothing),
        (app.options, {}, lambda _deps, _body: {"options": [OTHER_PICKER]}),
        (app.view_closed, {}, nothing),
    )
    for register, listeners, others in kinds:
        for name, listener in (*listeners.items(), (ANYTHING, others)):
            register(name)(_listener(deps, listener))


def _listener(deps: Dependencies, handle: Listener) -> Callable[..., Awaitable[None]]:
    async def listener(ack: AsyncAck, body: dict[str, Any]) -> None:
        answer = handle(deps, body)
        await ack(**((await answer if isawaitable(answer) else answer) or {}))

    return listener


def _unknown_command(_deps: Dependencies, body: dict[str, Any]) -> Response:
    name = mrkdwn.escape(str(body["command"])[:100])
    log.warning("Slack sent a command that is not BOT_COMMAND", command=name)
    return private(f"{name} is not known here. Please type {command_code('help')}.")


def _unknown(part: str, deps: Dependencies, body: dict[str, Any]) -> None:
    deps.reply(body, other_version(part))


def _unknown_view(_deps: Dependencies, _body: dict[str, Any]) -> Response:
    return update_with(dialog_views.refused(other_version("dialog")))


def _register_error_handler(app: AsyncApp, deps: Dependencies) -> None:
    async def unhandled_error(
        error: Exception, body: dict[str, Any], ack: AsyncAck
    ) -> BoltResponse:
        reference = new_reference()
        log.error("listener failed", reference=reference, kind=body.get("type"), exc_info=error)
        if body.get("type") == "view_submission":
            return await ack(**dialog_views.internal_error(body["view"], reference))
        message = private(internal_error_text(reference), button_of(body))
        if "command" in body:
            return await ack(**message)
        if "user" in body:
            reply = deps.replies.send(deps.interaction(body), message)
            deps.background.start(reply, "private reply")
        return await ack()

    app.error(unhandled_error)
