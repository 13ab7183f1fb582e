"""All state of the fake Slack, shared by the Web API and by the actions of people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.slack.event_bus import EventBus
from bot.sandbox.slack.faults import Faults
from bot.sandbox.slack.id_generator import IdGenerator
from bot.sandbox.slack.messages import Message, Messages
from bot.sandbox.slack.notifications import Notifications
from bot.sandbox.slack.rates import Rate, RateLimits
from bot.sandbox.slack.triggers import TriggerStore
from bot.sandbox.slack.views import View, Views
from bot.sandbox.slack.workspace import Workspace

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Times that a test shortens, in real seconds, and limits.

    `ack_seconds`: time limit of an ack.
    `cut_connection_seconds`: for which Slack counts a connection that was cut, and sends payloads
    to it.
    `rates`: limits of calls, by method; `RATES` are the documented ones.
    """

    ack_seconds: float = 3.0
    cut_connection_seconds: float = 180.0
    rates: Mapping[str, Rate] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of the Web API with its result; `args` never contain a token."""

    method: str
    args: Json
    ok: bool
    error: str | None
    status: int
    at: float


@dataclass
class World:
    """The workspace, its messages and views, and the records of calls and violations."""

    workspace: Workspace
    clock: Callable[[], float]
    settings: Settings
    base_url: str = ""
    faults: Faults = field(default_factory=Faults)
    calls: list[Call] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    tickets: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ids = IdGenerator(self.clock)
        self.events = EventBus(self.clock)
        self.rates = RateLimits(self.settings.rates, self.clock)
        self.messages = Messages(self.ids)
        self.notifications = Notifications(self.workspace)
        self.views = Views(self.workspace, self.ids)
        self.triggers = TriggerStore(self.clock, self.ids, self.workspace.team.id)

    def record_call(self, call: Call) -> None:
        self.calls.append(call)
        self.events.publish(
            "call", method=call.method, ok=call.ok, error=call.error, args=call.args
        )

    def complain(self, sentence: str) -> None:
        """Record a violation of Slack's documented rules."""
        self.complaints.append(sentence)
        self.events.publish("complaint", text=sentence)

    def publish_message(self, kind: str, message: Message) -> None:
        self.events.publish(kind, message=message.snapshot())

    def publish_view(self, view: View) -> None:
        self.events.publish("view", user=view.user.id, view=self.views.as_json(view))
