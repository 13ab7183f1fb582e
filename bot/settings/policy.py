"""The policy of a project, by variables or keys of the projects file, and who has one."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Annotated, Any

from pydantic import ConfigDict, Field, InstanceOf
from pydantic import PlainValidator as Parser

from bot.atlas import Credentials
from bot.cancellation.cluster_entries import is_hidden
from bot.cancellation.people import EVERYONE, NO_ONE, People
from bot.cancellation.policy import Mode, Policies, Policy, check_enough_approvers
from bot.settings import parsers
from bot.settings.parsers import Model, parser, setting

MAX_APPROVALS = 5
MAX_COUNT = 1000
DEFAULTS = Policy()


def _texts(pattern: re.Pattern[str], least: int = 0) -> Any:  # noqa: ANN401 - a type
    """Return the type of a list in the projects file, with at least so many texts."""
    texts = list[Annotated[str, Field(pattern=f"^{pattern.pattern}$")]]
    return Annotated[texts, Field(min_length=least)] if least else texts


def _whole(least: int, most: int) -> Parser:
    return parser(parsers.whole(least, most), Annotated[int, Field(ge=least, le=most)])


# What follows each parser is what people write in the projects file; the parser accepts texts too.
SecondsInput = Annotated[int, Field(ge=1, le=parsers.MAX_SECONDS)]
ChannelInput = Annotated[str, Field(pattern="^([CG][A-Z0-9]+)?$")]
WatchChannelInput = Annotated[str, Field(pattern="^([CG][A-Z0-9]+|none)?$")]
ModeInput = Annotated[str, Field(pattern=f"^({'|'.join(Mode)})$")]

Flag = Annotated[bool, parser(parsers.flag, bool)]
FlagOrNone = Annotated[bool | None, parser(parsers.flag, bool)]
Seconds = Annotated[timedelta, parser(parsers.seconds, SecondsInput)]
RemindersInput = Annotated[list[SecondsInput], Field(max_length=parsers.MAX_REMINDERS)]
Reminders = Annotated[tuple[timedelta, ...], parser(parsers.reminders, RemindersInput)]
PeopleOrNone = Annotated[People | None, parser(parsers.people, _texts(parsers.PEOPLE, 1))]
NamedPeople = Annotated[People, parser(parsers.named_people, _texts(parsers.NAMED_PEOPLE))]
Approvals = Annotated[int, _whole(0, MAX_APPROVALS)]
Count = Annotated[int, _whole(0, MAX_COUNT)]
Channels = Annotated[frozenset[str], parser(parsers.channels, _texts(parsers.CHANNEL))]
Channel = Annotated[str | None, parser(parsers.channel, ChannelInput)]
WatchChannel = Annotated[str | None, parser(parsers.watch_channel, WatchChannelInput)]
QuarantineMode = Annotated[Mode, parser(parsers.quarantine_mode, ModeInput)]
Starters = Annotated[frozenset[str], parser(parsers.starters, _texts(parsers.STARTER))]


class PolicySettings(Model):
    """The policy of a project or of some of its clusters, by the keys of the projects file."""

    requesters: PeopleOrNone = setting(
        "who may ask: users and user groups, or `*` for every full member of the workspace",
        shown="`*`",
    )
    approvals: Approvals = setting("how many other people must approve, 0 to 5", default=0)
    approvers: PeopleOrNone = setting("who may approve and deny", shown="the requesters")
    self_approval: Flag = setting("whether the requester's own approval counts", default=False)
    approval_ttl: Seconds = setting(
        "seconds that a request waits for approval", default=DEFAULTS.approval_ttl
    )
    channels: Channels = setting(
        "channels in which the command works", default=frozenset(), shown="everywhere"
    )
    audit_channel: Channel = setting(
        "every card goes to this channel", shown="the command's channel"
    )
    require_reason: FlagOrNone = setting(
        "whether a reason must be given", shown="`true` with approvals, else `false`"
    )
    confirm_by_typing: Flag = setting(
        "whether the cluster's name must be typed to confirm", default=False
    )
    break_glass: NamedPeople = setting(
        "who may cancel without the required approvals, with a reason; an approver reviews it",
        default=NO_ONE,
        shown="no one",
    )
    read_only: Flag = setting(
        "only watch: announce and explain, and never cancel ([atlas](atlas.md#watch-only))",
        default=False,
    )
    notify_approvers: Flag = setting(
        "whether named approvers and members of their groups get the card as a direct message",
        default=True,
    )
    remind_after: Reminders = setting(
        "seconds after which a waiting request reminds its approvers; `0` never",
        default=DEFAULTS.remind_after,
        shown="`60,180,600`",
    )
    escalate_to: NamedPeople = setting(
        "who may approve too, notified only at the last reminder", default=NO_ONE, shown="no one"
    )
    watch_channel: WatchChannel = setting(
        "the channel in which new downloads of backups are announced; `none` records them only",
        shown="off",
    )
    quarantine: QuarantineMode = setting(
        "a new download that no approver keeps: `off`; `observe` reports what would have been "
        "cancelled; with `enforce` the bot cancels it",
        default=DEFAULTS.quarantine,
    )
    quarantine_grace: Seconds = setting(
        "seconds in which an approver may keep it", default=DEFAULTS.quarantine_grace
    )
    quarantine_expected: Starters = setting(
        "who may download without being asked: Atlas user names, public keys, service-account ids",
        default=frozenset(),
        shown="no one",
    )
    quarantine_limit: Count = setting(
        "how many downloads of a project the bot itself cancels within an hour",
        default=DEFAULTS.quarantine_limit,
    )

    def policy(self) -> Policy:
        """Return the policy; some rules have defaults that depend on other rules."""
        requesters = self.requesters or EVERYONE
        approvers = self.approvers or requesters
        rules: dict[str, Any] = dict(self) | {
            "requesters": requesters,
            "approvers": approvers | self.escalate_to,
            "approvers_named": self.approvers not in {None, EVERYONE},
            "escalate_to": self.escalate_to - approvers,
        }
        if self.read_only and self.quarantine is Mode.ENFORCE:
            rules["quarantine"] = Mode.OBSERVE
        if self.watch_channel == "" and "ask_starter" not in self.model_fields_set:
            rules["ask_starter"] = False  # about nothing that is not announced
        if self.require_reason is None:
            rules["require_reason"] = self.approvals > 0
        return Policy(**rules)


class ProjectPolicySettings(PolicySettings):
    """The policy of a project, with the keys that its clusters cannot have."""

    ask_starter: Flag = setting(
        "whether the person who started an announced download is asked by direct message if it was "
        "they, so not with `none` as the watch channel; needs the scope `users:read.email`",
        default=True,
    )
    watch_restores: Flag = setting(
        "whether restores into other projects are announced; Atlas cannot cancel one", default=False
    )


POLICY_KEYS = tuple(ProjectPolicySettings.model_fields)


class DefaultPolicy(ProjectPolicySettings):
    """The policy of every project that has no other, by the `BOT_` variables."""

    model_config = ConfigDict(alias_generator=lambda name: f"BOT_{name.upper()}")


class PolicyHolder(Model):
    """A part of the settings with credentials and a policy of its own."""

    #: The name that people type; None for the project of `MONGODB_ATLAS_PROJECT_ID`, whose name is
    #: read from Atlas.
    name: str | None
    credentials: InstanceOf[Credentials]
    policies: InstanceOf[Policies]

    @property
    def label(self) -> str:
        return str(self.name)

    @property
    def parts(self) -> Iterator[tuple[str, Policy]]:
        """Its policy and those of clusters that can apply, each with the name in sentences."""
        yield self.label, self.policies.default
        for place, each in enumerate(self.policies.clusters):
            if not is_hidden(self.policies.clusters, place):
                yield f"{self.label} (clusters {', '.join(each.names)})", each.policy

    @property
    def identity(self) -> str:
        """What a reload knows it by: never its place in the file."""
        return self.credentials.key_id


class ProjectSettings(PolicyHolder):
    id: str  #: 24 lower-case hexadecimal digits

    @property
    def label(self) -> str:
        return self.name or self.id

    @property
    def identity(self) -> str:
        return self.id


class OrganizationSettings(PolicyHolder):
    """All projects that the credentials see, by patterns of their names or ids."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def project(self, project_id: str, name: str) -> ProjectSettings:
        return ProjectSettings.model_validate({**dict(self), "id": project_id, "name": name})


def policy_problems(settings: PolicySettings, label: Callable[[str], str]) -> Iterator[str]:
    """Say why a policy cannot work, with the names of its rules by `label`."""
    policy = settings.policy()
    yield from approval_problems(policy, label)
    if policy.quarantine is Mode.OFF:
        return
    mode = f"{label('quarantine')} is {policy.quarantine}"
    if not policy.watch_channel:
        fix = f"set {label('watch_channel')}, in which approvers keep downloads"
        yield f"{mode}, but no channel is watched: {fix}"
    if policy.approvers == NO_ONE:
        yield f"{mode}, but {label('approvers')} names no one who may keep a download"


def approval_problems(policy: Policy, label: Callable[[str], str]) -> Iterator[str]:
    """Say why no request could be approved.

    Members of user groups are known to Slack only, so a policy that names a group is accepted.
    """
    requesters = policy.requesters
    # One whose id is not known may approve nothing.
    asking = {*requesters.users, *([""] if requesters.everyone or requesters.groups else [])}
    if any(check_enough_approvers(policy, user, members=None) is None for user in asking):
        return
    beside, instead = "", ""
    if not policy.self_approval:
        beside, instead = " beside the requester", f", or set {label('self_approval')}"
    yield (
        f"{label('approvals')} is {policy.approvals}, but {label('approvers')} names too few people"
        f"{beside}: name more, or a user group, or require fewer{instead}"
    )
