"""All state of the stand-in in one place, shared by the Web API and by what people do."""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from bot.sandbox.slack.faults import Faults
from bot.sandbox.slack.messages import Message, Messages
from bot.sandbox.slack.news import News
from bot.sandbox.slack.stamps import Stamps
from bot.sandbox.slack.triggers import Passes
from bot.sandbox.slack.views import View, Views
from bot.sandbox.slack.workspace import Workspace

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How strict or how odd this Slack is.

    `client_msg_id`: whether a repeated one gives the first message back or posts again.
    `connect_team`: whose team `team.id` is when a stranger clicks: the app's or their own.
    `rate_limit`: whether a channel takes one post a second only.
    `ack_seconds`: how long an ack may take (real seconds).
    `latency`: real seconds that each call of the Web API takes at least, and each new connection.
    `lost_envelopes`: whether what a lost connection was to bring goes over another one, or is lost.
    """

    client_msg_id: Literal["dedupe", "ignore"] = "dedupe"
    connect_team: Literal["installed", "actor"] = "installed"
    rate_limit: bool = False
    ack_seconds: float = 3.0
    latency: float = 0.0
    lost_envelopes: Literal["redeliver", "drop"] = "redeliver"


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of the Web API as it was answered; `args` never hold a token."""

    method: str
    args: Json
    ok: bool
    error: str | None
    status: int
    at: float


@dataclass
class World:
    """What is so in this Slack."""

    workspace: Workspace
    clock: Callable[[], float]
    settings: Settings
    base_url: str = ""
    faults: Faults = field(default_factory=Faults)
    calls: list[Call] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    tickets: set[str] = field(default_factory=set)
    posts: defaultdict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def __post_init__(self) -> None:
        self.stamps = Stamps(self.clock)
        self.news = News(self.clock)
        self.messages = Messages(self.stamps)
        self.views = Views(self.workspace, self.stamps)
        self.passes = Passes(self.clock, self.stamps, self.workspace.team.id)

    def note_call(self, call: Call) -> None:
        self.calls.append(call)
        self.news.tell("call", method=call.method, ok=call.ok, error=call.error, args=call.args)

    def complain(self, sentence: str) -> None:
        """Records something that the bot did and that Slack's documentation forbids."""
        self.complaints.append(sentence)
        self.news.tell("complaint", text=sentence)

    def tell_message(self, kind: str, message: Message) -> None:
        self.news.tell(kind, message=message.snapshot())

    def tell_view(self, view: View) -> None:
        kind = "home" if view.content["type"] == "home" else "view"
        self.news.tell(kind, user=view.user.id, view=self.views.as_json(view))
