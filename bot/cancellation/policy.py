"""Policy checks: who may request, act alone, approve, deny, keep, withdraw, retry and review.

Also who is asked whether a download is theirs, and what the answer ends.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from bot.cancellation import errors
from bot.cancellation.errors import CancellationError, NotAllowed
from bot.cancellation.job import Job, StarterAnswer
from bot.cancellation.lifecycle import Ending, Request, State
from bot.cancellation.people import EVERYONE, NO_ONE, ActingPerson, Kind, People, Person
from bot.cancellation.starter import NOT_READ, StartedBy, StarterKind, is_candidate

#: Letters and symbols that are drawn as nothing: Hangul fillers and the empty Braille pattern.
BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
#: What keyboards put in place of a hyphen.
EM_DASH = "\u2014"
DASHES = dict.fromkeys(map(ord, f"{EM_DASH}\u2010\u2011\u2012\u2013\u2015\u2212\ufe63\uff0d"), "-")
#: Quotation marks, blanks and full stops around a typed name.
AROUND = re.compile(r"^[^\w-]+|[^\w-]+$")
#: When a waiting request reminds its approvers, by default.
REMIND_AFTER = (timedelta(minutes=1), timedelta(minutes=3), timedelta(minutes=10))
#: Why the bot cancels a download before the end of its grace time.
DISOWNED = "The person whose account started it, according to Atlas, denies having started it."


class Mode(StrEnum):
    """What happens to a new download that no approver keeps."""

    OFF = "off"
    OBSERVE = "observe"  #: the card shows what would have been cancelled
    ENFORCE = "enforce"  #: the bot cancels it


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules for the jobs of a project, or of some of its clusters."""

    requesters: People = EVERYONE  #: who may request a cancellation
    approvals: int = 0  #: how many people must approve, 0 to 5
    approvers: People = EVERYONE  #: who may approve or deny; `escalate_to` is a part of them
    approvers_named: bool = False  #: by the settings, instead of `*` or the requesters
    self_approval: bool = False  #: whether the requester's own approval counts
    approval_ttl: timedelta = timedelta(minutes=30)  #: how long a request waits for its approvals
    channels: frozenset[str] = frozenset()  #: in which the command works; empty: everywhere
    audit_channel: str | None = None  #: the channel for every card, instead of the command's
    require_reason: bool = False  #: whether a reason must be given
    confirm_by_typing: bool = False  #: whether the cluster's name must be typed
    break_glass: People = NO_ONE  #: who may cancel without approval where approvals are required
    read_only: bool = False  #: whether the bot only watches, and no DELETE may be sent
    notify_approvers: bool = True  #: whether they get the card as a direct message
    remind_after: tuple[timedelta, ...] = REMIND_AFTER  #: the wait before each; ascending
    escalate_to: People = NO_ONE  #: the approvers who are notified only at the last reminder
    #: Where new downloads are announced; empty: they are on record only; None: not watched.
    watch_channel: str | None = None
    quarantine: Mode = Mode.OFF  #: of new downloads that no approver keeps
    quarantine_grace: timedelta = timedelta(seconds=90)  #: how long an approver may keep one
    #: Who may download without being asked: user names, public keys and ids of service accounts,
    #: in lower case.
    quarantine_expected: frozenset[str] = frozenset()
    quarantine_limit: int = 3  #: how many downloads the bot itself cancels within `LIMIT_WINDOW`
    ask_starter: bool = True  #: whether who started an announced download is asked about it
    watch_restores: bool = False  #: whether restores into other projects are announced
    note: str = ""  #: for the people who decide

    @property
    def is_watched(self) -> bool:
        """Whether new downloads are on record, with or without an announcement."""
        return self.watch_channel is not None

    @property
    def post_channels(self) -> dict[str, str]:
        """The channels in which the bot posts unasked, by the rules that name them."""
        named = {"audit_channel": self.audit_channel, "watch_channel": self.watch_channel}
        return {rule: channel for rule, channel in named.items() if channel}

    @property
    def first_approvers(self) -> People:
        """The approvers who are notified from the start."""
        return self.approvers - self.escalate_to


@dataclass(frozen=True, slots=True)
class ClusterPolicy:
    """The policy of the clusters with one of these names, which may have `*` and `?`."""

    names: tuple[str, ...]
    policy: Policy


@dataclass(frozen=True, slots=True)
class Policies:
    default: Policy = Policy()
    clusters: tuple[ClusterPolicy, ...] = ()  #: the first that matches replaces the default

    def of(self, cluster: str) -> Policy:
        """Return the policy for the jobs of a cluster: every caller looks it up here."""
        entry = self.entry_of(cluster)
        return entry.policy if entry else self.default

    def entry_of(self, cluster: str) -> ClusterPolicy | None:
        having = (each for each in self.clusters for name in each.names if matches(name, cluster))
        return next(having, None)

    @property
    def all(self) -> tuple[Policy, ...]:
        return tuple(dict.fromkeys([self.default, *(each.policy for each in self.clusters)]))

    def possible(self, cluster: str | None) -> tuple[Policy, ...]:
        """Return the policies that may hold, as long as no cluster is selected."""
        return self.all if cluster is None else (self.of(cluster),)


def matches(pattern: str, text: str, *, question_mark: str = ".") -> bool:
    """Match in any case, with `*` and `?` only: a name may have brackets."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", question_mark)
    return re.fullmatch(expression, text, re.IGNORECASE | re.DOTALL) is not None


def may_cancel(policy: Policy) -> NotAllowed | None:
    """Return why nothing may be cancelled under this policy, or None."""
    return errors.ReadOnly() if policy.read_only else None


def may_request(policy: Policy, person: Person) -> NotAllowed | None:
    """Return why `person` may not request a cancellation, or None; every operator may."""
    may = person.kind is Kind.OPERATOR or person in policy.requesters
    return None if may else errors.NotARequester(ask=policy.requesters)


def may_act_alone(policy: Policy, person: Person) -> NotAllowed | None:
    """Return why `person`, who may request, may not cancel without approval, or None."""
    may = person.kind is Kind.OPERATOR or person in policy.break_glass
    return None if may else errors.MayNotActAlone(ask=policy.break_glass)


def may_review(policy: Policy, request: Request, person: Person) -> NotAllowed | None:
    """Return why `person` may not review what was done without approval, or None."""
    if not request.acted_alone:
        return errors.NothingToReview()
    if request.requester in person.ids:
        return errors.OwnAct(ask=_others(policy.approvers, person))
    return None if person in policy.approvers else errors.NotAReviewer(ask=policy.approvers)


def may_use_channel(policy: Policy, channel: str) -> NotAllowed | None:
    """Return why the command does not work in `channel`; direct messages are channels too."""
    may = not policy.channels or channel in policy.channels
    return None if may else errors.ChannelNotAllowed(channels=policy.channels)


def may_decide(policy: Policy, requester: str, person: Person) -> NotAllowed | None:
    """Return why `person` may not approve or deny the request of `requester`, or None.

    Without a requester it is the bot's own request: to cancel a quarantined download.
    """
    if person not in policy.approvers:
        refusal = errors.NotAnApprover if requester else errors.MayNotCancelNow
        return refusal(ask=policy.approvers)
    if requester in person.ids and not policy.self_approval:
        return errors.OwnRequest(ask=_others(policy.approvers, person))
    return None


def _others(people: People, person: Person) -> People:
    """Return whom to ask instead of `person`."""
    return people - People(users=person.ids)


def may_keep(
    policy: Policy, person: Person, started_by: StartedBy = NOT_READ, email: str | None = None
) -> NotAllowed | None:
    """Return why `person` may not keep a quarantined download, or None.

    `email` is the person's in Slack, which is the user name in Atlas; None if it is not known.
    """
    if person not in policy.approvers:
        return errors.MayNotKeep(ask=policy.approvers)
    if is_candidate(started_by, email):
        return errors.OwnDownload(ask=_others(policy.approvers, person))
    return None


def may_withdraw(request: Request, person: Person) -> NotAllowed | None:
    """Return why `person` may not withdraw, or None: only the requester may.

    An outsider must be of the requester's workspace. Within the bot's own organization a user may
    appear under several workspaces, so the id decides.
    """
    elsewhere = person.kind is Kind.OUTSIDER and person.team != request.team
    may = request.requester in person.ids and not elsewhere
    return None if may else errors.NotTheRequester(requester=request.requester)


def may_retry(policy: Policy, request: Request, person: Person) -> NotAllowed | None:
    """Return why `person` may not retry, or None: every requester may, approvers the bot's own."""
    return may_decide(policy, "", person) if request.by_bot else may_request(policy, person)


def is_named_approver(policy: Policy, person: Person) -> bool:
    """Whether the settings name the person as an approver, by id or by a group."""
    named = policy.approvers if policy.approvers_named else policy.escalate_to
    return person in replace(named, everyone=False)


def may_approve_once(policy: Policy, request: Request, person: Person) -> NotAllowed | None:
    """Return a refusal if `person` has approved before: each person counts once.

    With all approvals there, the request waits because its requester had lost the right: then a
    second click lets it run again.
    """
    again = not person.ids.isdisjoint(request.approved_by) and request.approvals_missing > 0
    return errors.AlreadyApproved(ask=_others(policy.approvers, person)) if again else None


def check_reason(policy: Policy, reason: str, *, alone: bool = False) -> NotAllowed | None:
    """Return a refusal if a reason is required, as always without approval, and it is empty."""
    is_required = policy.require_reason or alone
    return check_text(reason, errors.ReasonMissing()) if is_required else None


def check_text(text: str, missing: NotAllowed) -> NotAllowed | None:
    """Return the refusal `missing` if the text has only separators, controls, marks and fillers."""
    letters = (each for each in text if each not in BLANK_LETTERS)
    is_visible = any(unicodedata.category(each)[0] not in {"C", "M", "Z"} for each in letters)
    return None if is_visible else missing


def check_typed_name(policy: Policy, cluster_name: str, typed: str) -> NotAllowed | None:
    """Return a refusal if the policy requires the cluster's name and it was not typed.

    Case does not count, nor what a phone's keyboard corrects: dashes, and quotation marks and
    blanks around the name. Some keyboards write two hyphens as one em dash.
    """
    accepted = {_as_typed(typed), _as_typed(typed.replace(EM_DASH, "--"))}
    if policy.confirm_by_typing and _as_typed(cluster_name) not in accepted:
        return errors.NameNotTyped(cluster_name=cluster_name)
    return None


def _as_typed(name: str) -> str:
    return AROUND.sub("", name.translate(DASHES)).casefold()


def check_enough_approvers(
    policy: Policy, requester: str, members: frozenset[str] | None
) -> NotAllowed | None:
    """Return a refusal if there are fewer possible approvers than required approvals.

    `members` are the user ids of all members of the approving groups, or None if not known.
    """
    if policy.approvers.everyone or (members is None and policy.approvers.groups):
        return None
    able = policy.approvers.users | (members or frozenset())
    if not policy.self_approval:
        able -= {requester}
    too_few = errors.TooFewApprovers(needed=policy.approvals, able=len(able))
    return too_few if len(able) < policy.approvals else None


def is_expected(policy: Policy, started_by: StartedBy, *, probably: bool = False) -> bool:
    """Whether it is certain, or probable, who started a job, and expected.

    An application names itself as it likes, so that none is expected.
    """
    starter = started_by.starter
    if starter is None or starter.kind is StarterKind.OAUTH_APP:
        return False
    return (starter.certain or probably) and starter.name.casefold() in policy.quarantine_expected


def email_to_ask(policy: Policy, job: Job) -> str | None:
    """Return the e-mail address of the user to ask about a new download; None to ask no one.

    An application names itself as it likes, and a key is no person.
    """
    starter = job.started_by.starter
    may_ask = policy.ask_starter and policy.watch_channel and job.asked == ""
    if not may_ask or job.was_running or job.state.is_over or starter is None:
        return None
    if not starter.certain or starter.kind is not StarterKind.USER or "@" not in starter.name:
        return None
    return None if is_expected(policy, job.started_by) else starter.name


def answer_refusal(job: Job, person: ActingPerson) -> CancellationError | None:
    """Return why `person` may not answer the question about a job, or None."""
    if not job.asked or job.asked not in person.ids or person.kind is not Kind.MEMBER:
        return errors.NotAsked()
    if job.answer:
        return errors.AlreadyAnswered(said="was" if job.answer is StarterAnswer.MINE else "was not")
    if job.state.is_over:
        return errors.QuestionOver()
    return None if job.started_by.is_certain else errors.StarterUncertain()


def ending_by(answer: StarterAnswer, policy: Policy | None, request: Request) -> Ending | None:
    """Return how a quarantine ends by an answer, or None: it neither counts in the limit nor waits.

    A download that is kept, or that people decide about, goes its way.
    """
    is_enforced = policy is not None and policy.quarantine is Mode.ENFORCE
    is_disowned = answer is StarterAnswer.NOT_MINE and request.state is State.QUARANTINED
    return Ending.explained(State.APPROVED, DISOWNED) if is_enforced and is_disowned else None
