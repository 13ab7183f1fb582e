"""A running bot as the target of fuzzing: its answers, logs and effects are checked."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog

from bot.log_config import demote_library_records
from bot.sandbox.atlas import PROJECT_ID
from bot.slack import ids
from tests.acceptance.environment import LIVE, RUNNING, open_environment
from tests.tools.campaign.fuzzing.rules import faults_in_answer, faults_in_calls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from bot.sandbox.slack import Ack
    from bot.sandbox.slack.event_bus import ChangeEvent
    from bot.sandbox.slack.views import View
    from tests.acceptance.environment import BotEnvironment

Json = dict[str, Any]

#: Seconds that Slack waits for an ack, and a person for an answer of the bot.
SLACK_WAITS = 3.0

#: The log line of an unreadable envelope.
REFUSED = "refused an envelope"

#: Events that show an answer to a person, besides the ack.
ANSWERS = frozenset({"message", "message_changed", "ephemeral", "view", "home"})
ANSWERING_CALLS = frozenset(
    {"views.open", "views.update", "views.publish", "chat.postEphemeral", "chat.postMessage"}
)


class Found(AssertionError):
    """A finding of the fuzzer; the text has the effect and the input."""


class Listener(logging.Handler):
    """Keeps every log record that no payload may cause: an error, or any with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(demote_library_records)
        self.records: list[str] = []
        self.refused = 0

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.records.append(logging.Formatter("%(name)s: %(message)s").format(record))

    def processor(self, _logger: object, method: str, event: Any) -> Any:
        """Keep the bot's own log lines, which structlog would print."""
        if method in {"error", "exception", "critical"} or event.get("exc_info"):
            self.records.append(
                structlog.dev.ConsoleRenderer(colors=False)(None, method, {**event})
            )
        # Over HTTP the status shows it; in Socket Mode there is only the ack.
        self.refused += event["event"] == REFUSED
        raise structlog.DropEvent


@dataclass(slots=True, kw_only=True)
class Target:
    """The fuzzed bot, with a waiting request and open dialogs."""

    env: BotEnvironment
    listener: Listener
    http: bool
    views: dict[str, View] = field(default_factory=dict)
    sent: int = 0
    slowest: float = 0.0

    async def send(self, kind: str, payload: Json, *, answered: bool = False) -> Ack:
        """Deliver a payload; raises `Found` for unexpected effects.

        Args:
            kind: `slash_commands`, `interactive` or `events_api`.
            payload: as Slack would send it, or not.
            answered: whether a person waits for this one.
        """
        slack = self.env.slack
        transport = slack.http if self.http else slack.sockets
        seen: list[str] = []
        unsubscribe = slack.world.events.subscribe(lambda item: seen.extend(_answers(item)))
        try:
            refused, called = self.listener.refused, len(slack.calls)
            ack = await transport.send(kind, payload)
            await self._settle(ack, payload)
            faults = [*faults_in_answer(slack.world, kind, ack.body)] if ack.ok else []
            if faults := [*faults, *faults_in_calls(slack.calls[called:])]:
                raise Found(f"Slack would not show this: {faults[0]}\n\nafter {payload!r}")
            passed = ack.status == HTTPStatus.OK and refused == self.listener.refused
            if answered and passed and not ack.body and not seen:
                raise Found(f"no answer to: {payload!r}")
        finally:
            unsubscribe()
        return ack

    async def send_body(self, body: bytes, content_type: str) -> Ack:
        """Post a signed body of any kind."""
        http = self.env.slack.http
        ack = await http.post(body, http.headers(body, content_type))
        await self._settle(ack, body)
        return ack

    async def send_frame(self, frame: str | bytes) -> None:
        """Send a raw frame over Socket Mode."""
        socket = self.env.slack.sockets._open[0]._socket
        if isinstance(frame, str):
            await socket.send_str(frame)
        else:
            await socket.send_bytes(frame)

    async def _settle(self, ack: Ack, payload: object) -> None:
        self.sent += 1
        self.slowest = max(self.slowest, ack.seconds)
        if ack.status is None or ack.status not in {200, *range(400, 500)}:
            raise Found(f"{ack.status or ack.error} after {ack.seconds:.1f} s: {payload!r}")
        began = time.monotonic()
        background = self.env.bot._background  # type: ignore[union-attr]  # in this process
        while background.tasks:
            if time.monotonic() - began > SLACK_WAITS:
                raise Found(f"still at work after {SLACK_WAITS:g} s: {payload!r}")
            await asyncio.sleep(0.001)
        self.check(payload)

    def check(self, payload: object) -> None:
        """Raise `Found` for a line in the log, or an unapproved cancellation."""
        if records := self.listener.records[:]:
            self.listener.records.clear()
            raise Found(f"logged: {records[0]}\n\nafter {payload!r}")
        if deletes := self.env.atlas.deletes():
            raise Found(f"{len(deletes)} cancelled without approval after {payload!r}")


def _answers(item: ChangeEvent) -> list[str]:
    if item.kind == "call":
        return [item.data["method"]] if item.data["method"] in ANSWERING_CALLS else []
    return [item.kind] if item.kind in ANSWERS else []


@asynccontextmanager
async def fuzzed_bot(folder: Path, *, http: bool) -> AsyncIterator[Target]:
    """Open an environment with one needed approval, a waiting request and open dialogs."""
    listener = Listener()
    root, before = logging.getLogger(), structlog.get_config()
    structlog.configure(processors=[listener.processor])
    root.addHandler(listener)
    try:
        async with open_environment(folder, {"BOT_APPROVALS": "1"}, http=http) as env:
            target = Target(env=env, listener=listener, http=http)
            await _open_dialogs(target)
            yield target
        target.check("the end")
    finally:
        root.removeHandler(listener)
        structlog.configure(**before)


async def _open_dialogs(target: Target) -> None:
    """Submit a request for one job, and leave each kind of dialog open."""
    env = target.env
    await env.submit_request(RUNNING)
    await env.slack.until(lambda: env.card(RUNNING[1]))
    card = env.card(RUNNING[1])
    assert card is not None
    await env.open_dialog(LIVE)
    target.views["details"] = _top(env, "rina")
    await env.send_command("ada", "")
    await env.wait_for_dialog("ada")
    target.views["picker"] = _top(env, "ada")
    await env.slack.people.clicks("abe", card, ids.DENY)
    await env.wait_for_dialog("abe")
    target.views["denial"] = _top(env, "abe")
    await env.slack.people.opens_home("rina")
    await env.slack.until(lambda: env.slack.state.home_of("rina"))
    home = env.slack.world.views.home(env.slack.workspace.user("rina").id)
    assert home is not None
    target.views["home"] = home


def _top(env: BotEnvironment, user: str) -> View:
    modal = env.slack.world.views.modal(env.slack.workspace.user(user).id)
    assert modal is not None
    return modal


#: Each kind of payload: its transport kind, and the maker of a valid one.
Maker = tuple[str, "Callable[[Target], Json]"]


def command(target: Target, text: str) -> Json:
    slack = target.env.slack
    person, channel = slack.workspace.user("rina"), slack.workspace.channel("ops")
    return slack.payloads.command(person, channel, "/cancel-restore", text)


def _card_click(action_id: str, user: str) -> Callable[[Target], Json]:
    def made(target: Target) -> Json:
        slack = target.env.slack
        card = target.env.card(RUNNING[1])
        assert card is not None
        value = card["metadata"]["event_payload"]["request"]
        action = {"type": "button", "action_id": action_id, "block_id": "b", "value": value}
        person, channel = slack.workspace.user(user), slack.workspace.channel("ops")
        return slack.payloads.message_action(person, channel, card, [action], {})

    return made


def _copy_click(action_id: str, user: str) -> Callable[[Target], Json]:
    """Click a button of a copy of the card, in a direct message."""

    def made(target: Target) -> Json:
        slack = target.env.slack
        payload = _card_click(action_id, user)(target)
        own = slack.state.dm(user)
        payload["channel"] = {"id": own, "name": "directmessage"}
        payload["container"]["channel_id"] = own
        return payload

    return made


def _open_click(target: Target) -> Json:
    made = _card_click(ids.OPEN, "rina")(target)
    made["actions"][0]["value"] = " ".join(LIVE)
    return made


def _view_click(view: str, action_id: str, value: str) -> Callable[[Target], Json]:
    def made(target: Target) -> Json:
        action = {"type": "button", "action_id": action_id, "block_id": "b", "value": value}
        return target.env.slack.payloads.view_action(target.views[view], [action])

    return made


def _pick(block_id: str, value: str) -> Callable[[Target], Json]:
    def made(target: Target) -> Json:
        option = {"text": {"type": "plain_text", "text": value}, "value": value}
        action = {"type": "static_select", "action_id": block_id, "block_id": block_id}
        picked = [{**action, "selected_option": option}]
        return target.env.slack.payloads.view_action(target.views["picker"], picked)

    return made


def _submission(
    view: str, callback_id: str = "", *, alone: bool = False
) -> Callable[[Target], Json]:
    """Submit a dialog, under another callback id or with the box ticked to act alone."""

    def made(target: Target) -> Json:
        payload = target.env.slack.payloads.submission(target.views[view])
        reason = {"type": "plain_text_input", "value": "no reason"}
        values: Json = {ids.REASON: {ids.REASON: reason}}
        if alone:
            ticked = {"type": "checkboxes", "selected_options": [{"value": ids.ALONE}]}
            values[ids.ALONE] = {ids.ALONE: ticked}
        payload["view"]["state"]["values"] = values
        payload["view"]["callback_id"] = callback_id or payload["view"]["callback_id"]
        return payload

    return made


def _closed(target: Target) -> Json:
    return target.env.slack.payloads.closed(target.views["details"])


def _shortcut(target: Target) -> Json:
    slack = target.env.slack
    message = {"type": "message", "ts": "1.2", "text": " ".join(LIVE), "blocks": [], "user": "U1"}
    person, channel = slack.workspace.user("rina"), slack.workspace.channel("ops")
    return slack.payloads.shortcut(person, channel, message, ids.SHORTCUT)


def _home(target: Target) -> Json:
    slack = target.env.slack
    event = {"type": "app_home_opened", "user": slack.workspace.user("rina").id, "tab": "home"}
    view = slack.world.views.as_json(target.views["home"])
    return slack.payloads.event({**event, "channel": "D0RINA0001", "view": view})


MAKERS: dict[str, Maker] = {
    "command": ("slash_commands", lambda target: command(target, " ".join(LIVE))),
    "command: list": ("slash_commands", lambda target: command(target, "list")),
    "approve": ("interactive", _card_click(ids.APPROVE, "rina")),
    "deny": ("interactive", _card_click(ids.DENY, "gus")),
    "withdraw": ("interactive", _card_click(ids.WITHDRAW, "gus")),
    "retry": ("interactive", _card_click(ids.RETRY, "rina")),
    "keep": ("interactive", _card_click(ids.KEEP, "abe")),
    "review": ("interactive", _card_click(ids.REVIEW, "abe")),
    "approve in a copy": ("interactive", _copy_click(ids.APPROVE, "rina")),
    "open": ("interactive", _open_click),
    "unknown button": ("interactive", _card_click("no_such_action", "rina")),
    "more": ("interactive", _view_click("home", ids.MORE, "20 prod-eu")),
    "refresh": ("interactive", _view_click("home", ids.REFRESH, "x")),
    "look again": ("interactive", _view_click("details", ids.TRY_AGAIN, "x")),
    "look again at a pick": ("interactive", _view_click("picker", ids.TRY_AGAIN, "x")),
    "pick a cluster": ("interactive", _pick(ids.CLUSTER, "prod-eu")),
    "pick a job": ("interactive", _pick(ids.JOB, " ".join((PROJECT_ID, *LIVE)))),
    "submit": ("interactive", _submission("details")),
    "submit a pick": ("interactive", _submission("picker")),
    "submit a denial": ("interactive", _submission("denial")),
    "submit a keep": ("interactive", _submission("denial", ids.KEEP_DIALOG)),
    "submit alone": ("interactive", _submission("details", alone=True)),
    "close": ("interactive", _closed),
    "shortcut": ("interactive", _shortcut),
    "home": ("events_api", _home),
}

#: Payloads that must get an answer.
EXPECTING_AN_ANSWER = MAKERS.keys() - {"close", "home"}

#: Fields with the person and channel of the answer; without them no answer is possible.
ADDRESS = (
    *("user", "user_id", "channel_id", "channel", "response_url", "trigger_id", "container"),
    *("team", "team_id", "enterprise_id", "type", "command"),
)
