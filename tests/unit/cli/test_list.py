"""The lines of `list`: their fields, and why a job cannot be cancelled."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.atlas import RestoreJob
from bot.cancellation.policy import ClusterRule, Policies, Policy
from bot.cancellation.starter import Starters
from bot.cli.list import fields_of, may_cancel, why_not
from bot.services.lookup import JobDetails
from bot.services.projects import Project
from tests.support.clock import FakeClock
from tests.support.domain import (
    AUTO_CANCEL,
    LINK,
    POLICY,
    PROJECT,
    REF,
    SNAPSHOT,
    START,
    download,
    request,
    restore_job,
)
from tests.support.fake_atlas import FakeAtlas

FIELDS = [
    "project", "cluster", "job", "type", "state", "snapshot", "snapshot_id", "started",
    "started_by", "started_by_candidates", "link_expected", "link_live_since", "link_until",
    "auto_cancel_at", "cancellable", "why_not", "note", "request",
]  # fmt: skip
NOTHING_KNOWN: dict[str, Any] = dict.fromkeys(FIELDS)


def details(
    policy: Policy = POLICY, job: RestoreJob | None = None, note: str = "", **changes: Any
) -> JobDetails:
    """Return a job that was read a second after its start."""
    job = job or restore_job()
    rules = (ClusterRule(names=("PROD-*",), note=note),) if note else ()
    requests = changes.pop("requests", ())
    stored = download(**changes).observed(job, START + timedelta(seconds=1))
    return JobDetails(
        project=Project(
            id=PROJECT,
            name="shop-prod",
            policies=Policies(default=policy, clusters=rules),
            gateway=FakeAtlas(FakeClock()),
        ),
        ref=REF,
        job=job,
        read_at=START,
        download=stored,
        requests=requests,
    )


BASE = {
    "project": "shop-prod",
    "cluster": "prod-eu",
    "job": REF.job_id,
    "type": "download",
    "state": "in_progress",
    "snapshot": "2026-12-02T11:20:00+00:00",
    "snapshot_id": SNAPSHOT,
    "started": "2026-12-02T12:00:00+00:00",
    "link_expected": "2026-12-02T12:03:00+00:00",
    "cancellable": True,
}


@pytest.mark.parametrize(
    ("shown", "differences"),
    [
        (details(), {}),
        (
            details(job=restore_job(**LINK)),
            {
                "state": "link_live",
                "link_expected": None,
                "link_live_since": "2026-12-02T12:03:00+00:00",
                "link_until": "2026-12-02T13:03:00+00:00",
            },
        ),
        (details(starters=Starters(names=("dana",))), {"started_by": "dana"}),
        (
            details(starters=Starters(names=("dana", "eve"))),
            {"started_by_candidates": ["dana", "eve"]},
        ),
        (
            details(AUTO_CANCEL, auto_cancel_at=START + timedelta(seconds=90)),
            {"auto_cancel_at": "2026-12-02T12:01:30+00:00"},
        ),
        (details(note="Call security."), {"note": "Call security."}),
        (details(requests=[request(id="r1")]), {"request": "r1"}),
    ],
    ids=["alone", "live link", "starter", "two starters", "auto-cancel", "note", "request"],
)
def test_line_has_exactly_the_fields_of_the_contract(
    shown: JobDetails, differences: dict[str, Any]
) -> None:
    fields = fields_of(shown, START)

    assert list(fields) == FIELDS
    assert fields == {**NOTHING_KNOWN, **BASE, **differences}


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (details(), None),
        (details(job=restore_job(**LINK)), None),
        (details(job=restore_job(cancelled=True)), "has ended"),
        (details(replace(POLICY, read_only=True)), "only watches"),
    ],
)
def test_reason_why_a_download_cannot_be_cancelled_is_given(
    shown: JobDetails, why: str | None
) -> None:
    reason = why_not(shown)

    assert reason is None if why is None else why in str(reason)


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (details(), "yes"),
        (
            details(AUTO_CANCEL, auto_cancel_at=START + timedelta(seconds=90)),
            "yes. This download will be cancelled at 12:01:30 UTC unless somebody lets it run",
        ),
        (
            details(requests=[request()]),
            "yes. Cancel this download? Waits for 1 approval, until 12:30 UTC",
        ),
    ],
    ids=["alone", "auto-cancel", "request"],
)
def test_table_says_what_was_decided_about_a_download(shown: JobDetails, sentence: str) -> None:
    assert may_cancel(shown, START) == sentence


def test_other_restore_is_listed_without_a_link_and_cannot_be_cancelled() -> None:
    job = restore_job(deliveryType="automated")
    fresh = details()
    shown = replace(fresh.download.shown, delivery_type="automated")
    other = replace(fresh, job=job, download=replace(fresh.download, shown=shown))
    fields = fields_of(other, START)

    assert (fields["type"], fields["cancellable"], fields["link_expected"]) == (
        "automated", False, None,
    )  # fmt: skip
    assert "Atlas cancels downloads only" in fields["why_not"]
