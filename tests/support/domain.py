"""Values of the domain for tests: people, a job as shown, a request."""

from collections.abc import Collection
from dataclasses import fields
from datetime import timedelta
from itertools import count
from typing import Any

from bot.atlas import JobRef, RestoreJob
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import Ask, JobFingerprint, Request, State
from bot.cancellation.people import ActingPerson, Person
from tests.support.clock import NOON

PROJECT_ID = "5b6212af90dc76637950a2c6"
JOB_ID = "6b06cdc087d9d6039fafe03f"  #: its first eight digits are its start, noon

RINA = ActingPerson(Person(id="U0RINA", team="T0HOME"))
ADA = ActingPerson(Person(id="U0ADA", team="T0HOME"))
ABE = ActingPerson(Person(id="U0ABE", team="T0HOME"))

SHOWN = JobFingerprint(
    delivery_type="download",
    snapshot_id="5b622e3587d9d6039faf713f",
    snapshot_time=NOON - timedelta(hours=3),
    cancellable=True,
)

_numbers = count(1)


async def resolve_members(users: Collection[str], groups: Collection[str]) -> dict[str, Person]:
    """A Slack in which each user is a full member, and in every group."""
    return {user: Person(id=user, team=RINA.team, groups=frozenset(groups)) for user in users}


def allow(_request: Request) -> None:
    """Allow every request."""


def keep_all(request: Request) -> Judgement:
    """Judge that everything still counts."""
    return Judgement(
        refusal=None,
        voided=frozenset(),
        approvals_needed=request.approvals_needed,
        approvals_missing=request.approvals_missing,
    )


def job_ref(job_id: str = JOB_ID) -> JobRef:
    return JobRef(project_id=PROJECT_ID, cluster_name="prod-eu", job_id=job_id)


def new_job_id() -> str:
    return f"{next(_numbers):024x}"


def an_ask(**changes: Any) -> Ask:
    """What Rina asks, with `changes` applied."""
    values: dict[str, Any] = {"ref": job_ref(), "shown": SHOWN, "asked_in": "C0OPS"}
    return Ask(**{**values, "reason": "wrong cluster", **changes})


def a_request(**changes: Any) -> Request:
    """A request for a job of its own, ready to run, with `changes` to it or to what was asked."""
    number = next(_numbers)
    asked = {each.name: changes.pop(each.name) for each in fields(Ask) if each.name in changes}
    values: dict[str, Any] = {
        "id": f"request-{number}",
        "key": f"V{number}",
        "state": State.APPROVED,
        "ask": an_ask(**{"ref": job_ref(f"{number:024x}"), **asked}),
        "project_name": "shop-prod",
        "team": RINA.team,
        "requester": RINA.id,
        "channel": "C0OPS",
        "approvals_needed": 0,
        "created_at": NOON,
        "changed_at": NOON,
        "expires_at": NOON + timedelta(minutes=30),
    }
    return Request(**values | changes)


def a_waiting_request(approvals: int = 1, **changes: Any) -> Request:
    """A request that waits for `approvals` other people."""
    return a_request(state=State.AWAITING, approvals_needed=approvals, **changes)


def a_job(**changes: Any) -> RestoreJob:
    """The job that `SHOWN` shows, as Atlas would answer it, with `changes` to its fields."""
    values: dict[str, Any] = {
        "id": JOB_ID,
        "deliveryType": "download",
        "snapshotId": SHOWN.snapshot_id,
        "timestamp": "2026-11-25T09:00:00Z",
        "cancelled": False,
        "expired": False,
        "failed": False,
        "deliveryUrl": [],
    }
    return RestoreJob.model_validate(values | changes)
