"""The policy of a project as variables or the projects file set it, and when it cannot work."""

from collections.abc import Callable, Iterator
from datetime import timedelta

from pydantic import ConfigDict

from bot.cancellation.people import EVERYONE, NO_ONE
from bot.cancellation.policy import ClusterRule, Policies, Policy
from bot.settings import values
from bot.settings.reading import Model, setting

#: Longer times behave like this one, and would overflow dates.
_CENTURY = 100 * 366 * 24 * 3600
_SECONDS = "a whole number of seconds, 1 or more"
_APPROVALS = "a whole number from 0 to 5"
_PEOPLE = "ids of users (U…, W…) and of user groups (S…), comma-separated"


def _duration(seconds: int) -> timedelta:
    return timedelta(seconds=min(seconds, _CENTURY))


class PolicySettings(Model):
    """The policy of a project, by `BOT_` variables or by keys of the projects file."""

    channel: values.OptionalChannel = setting(
        "BOT_CHANNEL",
        "the channel in which new downloads are announced, and of every message of a download; "
        "without it nothing is watched, and a request's message goes to the channel of the command",
        must="the id of a channel (C…), found at the end of the channel's details",
        default=None,
        shown="–",
    )
    requesters: values.AnyPeople = setting(
        "BOT_REQUESTERS",
        "who may ask; `*` is every full member. Approvers and people of `BOT_BREAK_GLASS` may "
        "always ask",
        must=f"{_PEOPLE}, or * for every full member",
        default=EVERYONE,
        shown="`*`",
    )
    approvals: values.Approvals = setting(
        "BOT_APPROVALS",
        "how many other people must approve, 0 to 5",
        must=_APPROVALS,
        default=0,
    )
    approvers: values.AnyPeople | None = setting(
        "BOT_APPROVERS",
        "who may approve, and may let a download run; `*` is every full member",
        must=f"{_PEOPLE}, or * for every full member",
        default=None,
        shown="the requesters",
    )
    approval_ttl: values.Seconds = setting(
        "BOT_APPROVAL_TTL", "seconds that a request waits", must=_SECONDS, default=1800
    )
    require_reason: bool | None = setting(
        "BOT_REQUIRE_REASON",
        "whether a reason must be given",
        must=values.FLAG,
        default=None,
        shown="`true` where the project or one of its clusters wants approvals, else `false`",
    )
    break_glass: values.NamedPeople = setting(
        "BOT_BREAK_GLASS",
        "users and groups who may cancel at once where approvals are wanted, always with a reason",
        must=f"{_PEOPLE}; * is not possible",
        default=NO_ONE,
        shown="–",
    )
    read_only: bool = setting(
        "BOT_READ_ONLY",
        "whether the bot only announces and lists, and cancels nothing",
        must=values.FLAG,
        default=False,
    )
    auto_cancel_after: values.OptionalSeconds = setting(
        "BOT_AUTO_CANCEL_AFTER",
        "seconds after which a new download is cancelled unless somebody lets it run. Needs "
        "`BOT_CHANNEL` and named `BOT_APPROVERS` (not `*`); not with `BOT_READ_ONLY`. From 30, "
        "and at most 120 together with `BOT_WATCH_INTERVAL`, or the start warns",
        must=_SECONDS,
        default=None,
        shown="off",
    )

    def policies(self, clusters: tuple[ClusterRule, ...] = ()) -> Policies:
        """Return the policy with the defaults that depend on other rules."""
        require_reason = self.require_reason
        if require_reason is None:
            require_reason = self.approvals > 0 or any(rule.approvals for rule in clusters)
        policy = Policy(
            channel=self.channel,
            requesters=self.requesters,
            approvals=self.approvals,
            approvers=self.approvers or self.requesters,
            approval_ttl=_duration(self.approval_ttl),
            require_reason=require_reason,
            break_glass=self.break_glass,
            read_only=self.read_only,
            auto_cancel_after=_duration(after) if (after := self.auto_cancel_after) else None,
        )
        return Policies(default=policy, clusters=clusters)


class ClusterEntry(Model):
    """A `[[projects.clusters]]` of the projects file."""

    model_config = ConfigDict(extra="forbid")

    names: values.ClusterNames = setting(
        must="names of clusters: letters, digits and -, with * and ? for any others"
    )
    approvals: values.Approvals | None = setting(must=_APPROVALS, default=None)
    note: values.Note = setting(must="a text of up to 200 characters", default="")


def policy_problems(policies: Policies, name: Callable[[str], str]) -> Iterator[str]:
    """Say why a policy cannot work; `name` returns a rule's variable or key in the file."""
    policy = policies.default
    yield from _auto_cancel_problems(policy, name)
    yield from _approval_problems(policy, policy.approvals, name("approvals"), name("approvers"))
    for number, rule in enumerate(policies.clusters, 1):
        label = f"clusters number {number}: approvals"
        yield from _approval_problems(policy, rule.approvals or 0, label, name("approvers"))


def _auto_cancel_problems(policy: Policy, name: Callable[[str], str]) -> Iterator[str]:
    if policy.auto_cancel_after is None:
        return
    setting = name("auto_cancel_after")
    if policy.channel is None:
        yield f"{setting} needs {name('channel')}: set the channel where downloads are announced"
    if not policy.named_approvers:
        yield (
            f"{setting} needs {name('approvers')} by id, not *: name the users and groups who may "
            "let a download run"
        )
    if policy.read_only:
        yield f"{setting} and {name('read_only')} are set together: keep one of them"


def _approval_problems(
    policy: Policy, needed: int, approvals: str, approvers: str
) -> Iterator[str]:
    """Say why no request could be approved, where all approvers are listed by id.

    Members of user groups are known to Slack alone.
    """
    people, may_ask = policy.approvers, policy.may_ask
    if people.everyone or people.groups:
        return
    # A requester who is an approver too does not count: then there is one approver fewer.
    is_asked_by_others = may_ask.everyone or may_ask.groups or may_ask.users - people.users
    available = len(people.users) - (0 if is_asked_by_others else 1)
    if needed > available:
        yield (
            f"{approvals} is {needed}, but {approvers} lists only {available} who could approve "
            "the request of another: name more people, or a user group, or require fewer approvals"
        )
