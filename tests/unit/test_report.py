"""What is logged and counted of each change of a download or a request."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.cancellation.change import Change, DownloadChange, RequestChange
from bot.cancellation.download import LetRun
from bot.cancellation.policy import Policies
from bot.cancellation.request import Request, State
from bot.cancellation.starter import Starters
from bot.report import Report
from bot.services.projects import Project, Projects
from bot.web.metrics import Metrics
from tests.support.clock import FakeClock
from tests.support.domain import POLICY, PROJECT, REF, START, download, request
from tests.support.fake_atlas import FakeAtlas
from tests.support.metrics import samples

GOES_ON = download(stored_at=START + timedelta(seconds=20))
LINKED = replace(GOES_ON, link_seen_at=START)
NAMED = replace(GOES_ON, starters=Starters(names=("dana@shop.example",)))
LET_RUN = replace(GOES_ON, let_run=LetRun(by="U0ADA", at=START, reason=""))
PLACE = {"log_level": "info", "project": "Shop", "cluster": "prod-eu", "job": REF.job_id}
SEEN = {**PLACE, "event": "download_seen", "started": "2026-12-02T12:00:00+00:00"}
ENDED = {
    **PLACE,
    "event": "download_ended",
    "how": "cancelled",
    "started_by": [],
    "link_seen": False,
}
COUNTS_SEEN = {f"downloads_seen_total,project={PROJECT}": 1.0}


async def reported(change: Change) -> tuple[list[Any], Mapping[str, float]]:
    """Return the log lines of a change, and by how much which series grew."""
    atlas = FakeAtlas(FakeClock(START))
    project = Project(id=PROJECT, name=PROJECT, policies=Policies(default=POLICY), gateway=atlas)
    projects, metrics = Projects([project]), Metrics([PROJECT])
    projects._projects[PROJECT] = replace(project, name="Shop")  # as Atlas names it
    before = samples(metrics)
    with capture_logs() as lines:
        Report(projects, metrics)(change)
    grown = {
        name.removeprefix("cancel_restore_"): value - before[name]
        for name, value in samples(metrics).items()
        if value != before[name] and "_bucket" not in name
    }
    return lines, grown


@pytest.mark.parametrize(
    ("change", "lines", "counts"),
    [
        (DownloadChange(None, GOES_ON), [SEEN], COUNTS_SEEN),
        (
            DownloadChange(None, GOES_ON, is_new=True),
            [SEEN],
            {**COUNTS_SEEN, "detection_seconds_count": 1, "detection_seconds_sum": 20},
        ),
        (
            DownloadChange(GOES_ON, LINKED),
            [],
            {f"downloads_live_link_total,project={PROJECT}": 1},
        ),
        (DownloadChange(GOES_ON, replace(GOES_ON, cancelled=True)), [ENDED], {}),
        (
            DownloadChange(NAMED, replace(NAMED, cancelled=True, link_seen_at=START)),
            [{**ENDED, "started_by": ["dana@shop.example"], "link_seen": True}],
            {f"downloads_live_link_total,project={PROJECT}": 1},
        ),
        (DownloadChange(GOES_ON, LET_RUN), [], {"auto_cancels_total,how=let_run": 1}),
        (DownloadChange(LET_RUN, replace(LET_RUN, channel="C0")), [], {}),
        (DownloadChange(LINKED, replace(LINKED, has_link=True)), [], {}),
    ],
    ids=["seen", "new", "link", "end", "end with link", "let run", "let run before", "link before"],
)
async def test_download_is_logged_and_counted_by_what_has_changed(
    change: Change, lines: list[Any], counts: Mapping[str, float]
) -> None:
    assert await reported(change) == (lines, counts)


BY_ITSELF = {"is_automatic": True}


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (RequestChange(None, request(), GOES_ON), {"requests_total,state=awaiting"}),
        (
            RequestChange(None, request(State.APPROVED), GOES_ON),
            {"requests_total,state=approved"},
        ),
        (
            RequestChange(request(State.CANCELLING), request(State.CANCELLED), LINKED),
            {"requests_total,state=cancelled"},
        ),
        (
            RequestChange(request(State.CANCELLING), request(State.CANCELLED), GOES_ON),
            {"requests_total,state=cancelled", "cancelled_before_link_total"},
        ),
        (
            RequestChange(request(State.CANCELLING), request(State.OVER), GOES_ON),
            {"requests_total,state=over"},
        ),
    ],
    ids=["waits", "approved at once", "after the link", "before the link", "over"],
)
async def test_request_is_counted_by_the_state_that_it_enters(
    change: Change, counts: set[str]
) -> None:
    assert await reported(change) == ([], dict.fromkeys(counts, 1))


@pytest.mark.parametrize(
    ("ended", "how"),
    [
        (request(State.CANCELLED, is_automatic=True), "cancelled"),
        (request(State.FAILED, is_automatic=True), "failed"),
        (request(State.REFUSED, is_automatic=True), "failed"),
        (request(State.CHANGED, is_automatic=True), "failed"),
        (request(State.OVER, is_automatic=True), None),
        (request(State.CANCELLED), None),
    ],
)
async def test_end_of_an_automatic_request_counts(ended: Request, how: str | None) -> None:
    _, grown = await reported(RequestChange(request(State.CANCELLING), ended, GOES_ON))

    counted = {name for name in grown if name.startswith("auto_cancels")}
    assert counted == ({f"auto_cancels_total,how={how}"} if how else set())
