"""A restore job as the commands show it: its fields for programs, and its details for people."""

import html
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bot.atlas import DeliveryType, JobRef, RestoreJob
from bot.cancellation.errors import CancellationError
from bot.cancellation.job_facts import JobFacts, LinkPhase
from bot.cancellation.lifecycle import Request
from bot.cli.audit import missing_file
from bot.services.projects import Project
from bot.settings import Settings
from bot.slack import job_facts
from bot.slack.mrkdwn import DELIVERY_TYPES
from bot.wiring import CoreServices

Jobs = Collection[tuple[JobRef, RestoreJob]]

#: Seconds for the activity feed, without which the rest is shown.
FEED_TIMEOUT = 5.0

#: The phases in which the link is expected.
LINK_TO_COME = frozenset({LinkPhase.EXPECTED, LinkPhase.OVERDUE})

#: The fields that are times.
TIMES = frozenset({"snapshot", "started", "link_expected"})

#: What Slack's markup adds to a text: a date's token around its fallback, and emoji.
DATE = re.compile(r"<!date\^[^|>]*\|([^>]*)>")
EMOJI = re.compile(r":[a-z_]+: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownJob:
    """A job as Atlas has it, with what else is known; `request` is the open one."""

    project: str
    ref: JobRef
    job: RestoreJob
    facts: JobFacts
    request: Request | None

    def fields(self) -> dict[str, Any]:
        """Return the fields under the names of the JSON output; None is not known."""
        starter, clock = self.facts.started_by.starter, self.facts.clock
        return {
            "project": self.project,
            "cluster": self.ref.cluster_name,
            "job": self.ref.job_id,
            "type": str(self.job.delivery_type),
            "snapshot": iso(self.job.snapshot_time),
            "started": iso(self.ref.started_at),
            "by": starter.name or None if starter else None,
            "link_expected": iso(clock.expected_at) if self.facts.phase in LINK_TO_COME else None,
            "state": self.job.state.value,
            "request": self.request.id if self.request else None,
        }

    def details(self) -> list[tuple[str, str]]:
        """Return labels and values, as the dialog shows them."""
        fields = self.fields()
        kind, link = fields["type"], job_facts.link_text(self.facts)
        details = [
            ("Project", fields["project"]),
            ("Cluster", fields["cluster"]),
            ("Restore job", fields["job"]),
            ("Type", DELIVERY_TYPES.get(kind, kind)),
            ("State", self.job.state.sentence),
            ("Snapshot", f"{in_words(fields, 'snapshot')} {self.job.snapshot_id}".strip()),
            ("Started", in_words(fields, "started")),
            ("By", plain(job_facts.who(self.facts.started_by))),
            ("Download link", plain(link) if kind == DeliveryType.DOWNLOAD else ""),
            ("Open request", in_words(fields, "request")),
        ]
        return [(label, value) for label, value in details if value]


async def shown_jobs(
    services: CoreServices, settings: Settings, found: Sequence[tuple[Project, JobRef, RestoreJob]]
) -> list[ShownJob]:
    """Add what the database and the activity feed know; a missing database is not created."""
    has_database = not missing_file(settings.database_url.get_secret_value())
    jobs = [(ref, job) for _, ref, job in found]
    facts = await _facts_of(services, jobs, has_database=has_database)
    return [
        ShownJob(
            project=project.name,
            ref=ref,
            job=job,
            facts=facts[ref],
            request=await _open_request(services, ref) if has_database else None,
        )
        for project, ref, job in found
    ]


async def _open_request(services: CoreServices, ref: JobRef) -> Request | None:
    try:
        return await services.requests.open_request_for(ref)
    except CancellationError:
        return None


async def _facts_of(
    services: CoreServices, jobs: Jobs, *, has_database: bool
) -> Mapping[JobRef, JobFacts]:
    """Return the facts about jobs; without a database, as far as Atlas has them."""
    of_jobs = partial(services.facts.of_jobs, jobs, patience=FEED_TIMEOUT)
    if has_database:
        with suppress(CancellationError):
            return await of_jobs()
    return await of_jobs(stored=False)


def plain(mrkdwn: str) -> str:
    """Return a text of Slack for a terminal."""
    return html.unescape(EMOJI.sub("", DATE.sub(r"\1", mrkdwn)).replace("`", ""))


def iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def in_words(fields: Mapping[str, Any], name: str) -> str:
    """Return a field for people; empty when it is not known."""
    text = str(fields[name] or "")
    return text.replace("T", " ").replace("+00:00", " UTC") if name in TIMES else text
