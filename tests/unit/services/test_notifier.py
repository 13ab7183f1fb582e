"""The notices to approvers: people read from Slack, recorded notices, and faults."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.atlas import JobRef
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.lifecycle import Request
from bot.cancellation.people import EVERYONE, People, Person
from bot.cancellation.policy import Policies, Policy
from bot.cancellation.posts import Notice
from bot.services.projects import Project, Projects
from bot.services.sweeper import PEOPLE_TIMEOUT, Notifier
from bot.storage.database import Database
from bot.storage.notice_store import NoticeStore
from bot.timings import Timings
from tests.support.clock import NOON, FakeClock
from tests.support.domain import ABE, ADA, JOB_ID, PROJECT_ID, a_waiting_request
from tests.support.fake_atlas import FakeAtlas

ADA_ONLY = People(users=frozenset({ADA.id}))
ABE_ONLY = People(users=frozenset({ABE.id}))


@dataclass
class FakeNotices(NoticeStore):
    """Lists `due`, and keeps the given notices."""

    database: Database = field(init=False)
    now: Callable[[], datetime]
    due: list[Request] = field(default_factory=list)
    given: list[tuple[Notice, list[str], list[str] | None]] = field(default_factory=list)

    async def list_due(self, limit: int = 100) -> Sequence[Request]:
        return self.due

    async def record(
        self,
        request: Request,
        notice: Notice,
        notified: Sequence[Person],
        escalated: Sequence[Person] | None = None,
    ) -> bool:
        second = None if escalated is None else [each.id for each in escalated]
        self.given.append((notice, [each.id for each in notified], second))
        return True


@dataclass
class FakePeople:
    """Finds Ada and Abe where they are named, or fails."""

    calls: list[People] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    async def __call__(self, people: People) -> list[Person]:
        self.calls.append(people)
        if self.faults:
            raise self.faults.pop(0)
        return [person for person in (ADA, ABE) if person.id in people.users]


class Setup:
    """A notifier with its fakes."""

    def __init__(self, policy: Policy) -> None:
        project = Project(
            id=PROJECT_ID, name="shop", policies=Policies(policy), atlas=FakeAtlas({})
        )
        self.clock = FakeClock()
        self.store = FakeNotices(self.clock, due=[a_waiting_request(next_notice_at=NOON)])
        self.people = FakePeople()
        self.notifier = Notifier(self.store, Projects([project]), self.people)


def policy(approvers: People = ADA_ONLY, escalate_to: People = ABE_ONLY, **changes: Any) -> Policy:
    return Policy(approvers=approvers | escalate_to, escalate_to=escalate_to, **changes)


async def test_first_notice_goes_to_the_approvers_but_not_to_those_of_the_escalation() -> None:
    setup = Setup(policy())
    await setup.notifier.notify_due()
    ((notice, notified, escalated),) = setup.store.given
    assert (notice.is_first, notified, escalated) == (True, [ADA.id], None)


async def test_escalation_without_reminders_is_immediate() -> None:
    setup = Setup(policy(remind_after=()))
    await setup.notifier.notify_due()

    assert [given[1:] for given in setup.store.given] == [([ADA.id], [ABE.id])]


async def test_person_who_is_notified_as_an_approver_is_not_notified_twice() -> None:
    both = ADA_ONLY | ABE_ONLY
    setup = Setup(Policy(approvers=both, escalate_to=People(groups=frozenset({"S1"})) | ABE_ONLY))
    setup.clock.advance(3600)
    await setup.notifier.notify_due()

    assert [given[1:] for given in setup.store.given] == [([ADA.id], [ABE.id])]


async def test_every_full_member_is_not_notified() -> None:
    setup = Setup(policy(approvers=EVERYONE, remind_after=(), escalate_to=ABE_ONLY))
    await setup.notifier.notify_due()

    assert setup.people.calls == [ABE_ONLY]


async def test_without_notices_slack_is_not_asked_and_the_escalation_is_only_mentioned() -> None:
    setup = Setup(policy(notify_approvers=False, remind_after=()))
    await setup.notifier.notify_due()

    assert setup.people.calls == []
    assert [given[1:] for given in setup.store.given] == [([], [])]


async def test_request_of_a_removed_project_is_not_read_again() -> None:
    setup = Setup(policy())
    elsewhere = JobRef(project_id="f" * 24, cluster_name="prod-eu", job_id=JOB_ID)
    setup.store.due = [a_waiting_request(next_notice_at=NOON, ref=elsewhere)]
    await setup.notifier.notify_due()
    ((notice, notified, _),) = setup.store.given
    assert (notice.next_at, notified) == (None, [])


async def test_request_whose_people_cannot_be_read_stays_due_and_the_next_one_is_notified() -> None:
    setup = Setup(policy())
    setup.store.due *= 2
    setup.people.faults = [RightsNotChecked("Slack did not answer in time.")]
    await setup.notifier.notify_due()

    assert len(setup.store.given) == 1


async def test_lasting_fault_of_slack_leaves_the_reply_that_mentions_the_approvers() -> None:
    setup = Setup(policy())
    setup.people.faults = [RightsNotChecked("The bot lacks a scope.")]
    setup.clock.advance(PEOPLE_TIMEOUT.total_seconds())
    await setup.notifier.notify_due()

    assert [given[1] for given in setup.store.given] == [[]]


async def test_reminders_a_second_apart_are_all_recorded() -> None:
    seconds = [timedelta(seconds=each) for each in (1, 2, 3)]
    setup = Setup(policy(remind_after=tuple(seconds)))
    clock, store = setup.clock, setup.store
    next_at: datetime | None = NOON
    while next_at:
        clock.advance(Timings.notice_interval)
        is_due = next_at <= clock.now
        store.due = [a_waiting_request(next_notice_at=next_at)] if is_due else []
        await setup.notifier.notify_due()
        next_at = store.given[-1][0].next_at

    assert [notice.reminder for notice, _, _ in store.given] == [0, 1, 2, 3]
