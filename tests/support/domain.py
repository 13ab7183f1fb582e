"""Values for tests: people, policies, jobs, downloads and requests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.atlas import JobRef, RestoreJob
from bot.cancellation.decisions import Submission
from bot.cancellation.download import Download, Fingerprint, new_download
from bot.cancellation.people import ActingPerson, Kind, People, Person
from bot.cancellation.policy import Policy
from bot.cancellation.request import Request, State

PROJECT = "5b6212af90dc76637950a2c6"
SNAPSHOT = "5b622f7087d9d6039fafe03f"
START = datetime(2026, 12, 2, 12, 0, tzinfo=UTC)
TEAM = "T0ACME"


def job_id(started_at: datetime = START, number: int = 1) -> str:
    """Return the id of a job that was started then."""
    return f"{int(started_at.timestamp()):08x}{number:016x}"


def job_ref(started_at: datetime = START, number: int = 1, cluster: str = "prod-eu") -> JobRef:
    return JobRef(PROJECT, cluster, job_id(started_at, number))


REF = job_ref()


def restore_job(ref: JobRef = REF, /, **changes: Any) -> RestoreJob:
    """Return a download in progress, as Atlas describes it."""
    values = {
        "id": ref.job_id,
        "deliveryType": "download",
        "snapshotId": SNAPSHOT,
        "timestamp": START - timedelta(minutes=40),
        "deliveryUrl": [],
    }
    return RestoreJob.model_validate(values | changes)


LINK = {
    "deliveryUrl": ["https://link.example/secret"],
    "expiresAt": START + timedelta(minutes=63),
}


def download(ref: JobRef = REF, /, **changes: Any) -> Download:
    stored = new_download(ref, restore_job(ref), read_at=START, now=START)
    return replace(stored, **changes)


def person(user: str, kind: Kind = Kind.MEMBER, **values: Any) -> ActingPerson:
    return ActingPerson(Person(id=user, team=TEAM, kind=kind, **values))


#: Rina may ask, Ada and Alan may approve, Gil breaks the glass, Eve may nothing.
RINA, ADA, ALAN = person("U0RINA"), person("U0ADA"), person("U0ALAN")
GIL, EVE = person("U0GIL"), person("U0EVE")
OPERATOR = ActingPerson(Person(id="cli:root", team="", kind=Kind.OPERATOR))


def users(*ids: str) -> People:
    return People(users=frozenset(ids))


POLICY = Policy(
    channel="C0OPS",
    requesters=users("U0RINA"),
    approvals=1,
    approvers=users("U0ADA", "U0ALAN"),
    break_glass=users("U0GIL"),
)
AUTO_CANCEL = replace(POLICY, auto_cancel_after=timedelta(seconds=90))


def submission(key: str = "V1", **changes: Any) -> Submission:
    first = Submission(
        key=key, ref=REF, job=restore_job(), read_at=START, reason="wrong cluster", asked_in="C0DEV"
    )
    return replace(first, **changes)


def request(state: State = State.AWAITING, **changes: Any) -> Request:
    first = Request(
        id="0" * 32,
        key="V1",
        ref=REF,
        state=state,
        requester="U0RINA",
        team=TEAM,
        reason="wrong cluster",
        shown=Fingerprint.of(restore_job()),
        needed=1,
        created_at=START,
        changed_at=START,
        expires_at=START + timedelta(minutes=30),
    )
    return replace(first, **changes)
