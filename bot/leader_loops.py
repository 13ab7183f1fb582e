"""Builds the background loops, which run in the replica that leads."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.atlas import AtlasReader
from bot.cancellation.policy import Mode
from bot.cancellation.quarantine import WatchedCluster
from bot.services.jobs import FeedMonitor
from bot.services.leader import Leader
from bot.services.projects import Project, Projects
from bot.services.quarantine import KeptDownloads, Quarantine
from bot.services.sweeper import Notifier, StarterQuestions, nobody_to_reach, sweep
from bot.services.watch import Watcher
from bot.slack.channels import Channels, ChannelStatus, named_channels
from bot.slack.client import Identity, Links
from bot.slack.directory import Directory
from bot.slack.outbox.messages import MessageBuilder
from bot.slack.outbox.worker import Outbox
from bot.storage.event_store import WebhookStore
from bot.storage.history import History
from bot.storage.job_store import JobStore
from bot.storage.notice_store import NoticeStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.quarantine_store import QuarantineStore
from bot.storage.replicas import LeaderLease
from bot.storage.request_store import RequestStore
from bot.storage.watch_store import WatchStore
from bot.tasks import Loop, repeat
from bot.wiring import CoreServices

DELETION_INTERVAL = 3600.0  #: seconds between two deletions of old posts


class LeaderLoops:
    """Each method runs one loop until cancelled; its stores write only while this process leads."""

    def __init__(self, services: CoreServices) -> None:
        self._core = services
        database, clock, metrics = services.database, services.clock, services.metrics
        lease = LeaderLease(database, clock, services.owner, services.timings.leader_lease)
        self.leader = Leader(lease, clock, timings=services.timings)
        self._lease = lease
        fence = lease.check_held
        self._posts = OutboxStore(database, clock, fence=fence)
        self._requests = RequestStore(database, clock, fence=fence)
        self._notices = NoticeStore(database, clock, fence=fence)
        self._history = History(database, clock, fence=fence)
        self._events = WebhookStore(database, clock, services.owner, fence=fence)
        self._quarantine = QuarantineStore(
            database,
            clock,
            partial(quarantine_at, services.projects),
            on_limit=lambda name: metrics.quarantine_limit_reached.labels(project=name).inc(),
            fence=fence,
        )
        self._watches = WatchStore(
            database,
            clock,
            services.owner,
            self._quarantine,
            on_seen=partial(self._report, metrics.set_downloads_seen),
            on_disowned=partial(self._report, metrics.set_downloads_disowned),
            fence=fence,
        )
        self._jobs = replace(services.jobs, store=JobStore(database, clock, fence=fence))

    async def leaders_file(self, digest: str) -> str:
        """Return the digest of the leader's settings file; this replica's is `digest`."""
        return await self._lease.share_file(digest, leads=self.leader.leads)

    def _report(self, report: Callable[[str, int], None], project_id: str, count: int) -> None:
        """Report a number of a project by its name."""
        if project := self._core.projects.get_or_none(project_id):
            report(project.name, count)

    def without_slack(self) -> Mapping[str, Loop]:
        """Return the loops that do not ask Slack, by their names."""
        core, jobs, delete_posts = self._core, self._jobs, self._history.delete_posts
        sweeping = partial(sweep, self._requests, core.leases, core.runner)
        return {
            "sweeper": partial(repeat, sweeping, core.timings.sweep_interval, "sweep failed"),
            "jobs": partial(repeat, jobs.follow, jobs.interval, "jobs not followed"),
            "old posts": partial(repeat, delete_posts, DELETION_INTERVAL, "posts not deleted"),
        }

    def notifier(self, directory: Directory) -> Notifier:
        core = self._core
        return Notifier(self._notices, core.projects, directory.candidates)

    def channels(self, client: AsyncWebClient, identity: Identity) -> ChannelStatus:
        return ChannelStatus(
            Channels(client, identity, max_age=0.0, limits=self._core.limits).info,
            partial(named_channels, self._core.projects),
            consequence=partial(nobody_to_reach, self._core.projects),
            report=self._core.metrics.set_channels,
            interval=self._core.timings.channel_interval,
        )

    def build_outbox(
        self, client: AsyncWebClient, links: Links, channels: ChannelStatus, notifier: Notifier
    ) -> Outbox:
        metrics, clock = self._core.metrics, self._core.clock
        return Outbox(
            self._posts,
            client,
            self._core.owner,
            MessageBuilder(links, self._core.projects, clock),
            channels,
            leads=lambda: self.leader.leads,
            on_drop=metrics.dropped_posts.inc,
            limits=self._core.limits,
            send_directly=notifier.send,
            on_announced=lambda job: metrics.observe_detection(
                (clock() - job.ref.started_at).total_seconds()
            ),
            timings=self._core.timings,
        )

    def with_slack(
        self,
        directory: Directory,
        slack_answers: Callable[[], Awaitable[bool]],
        channels: ChannelStatus,
        notifier: Notifier,
    ) -> Mapping[str, Loop]:
        """Return the loops that ask Slack, by their names."""
        core, projects = self._core, self._core.projects
        interval = core.timings.quarantine_interval
        # Ends quarantines also of projects where it was switched off.
        quarantine = Quarantine(
            self._quarantine,
            projects,
            self._jobs,
            core.runner,
            slack_answers=slack_answers,
            takes_posts=channels.takes_posts,
            knows_projects=lambda: core.organizations.is_complete,
            copy_card=notifier.copy_card,
        )
        keeps = KeptDownloads(self._quarantine, projects, directory.email_of)
        questions = StarterQuestions(self._notices, projects, directory.member_with_email)
        notices = core.timings.notice_interval
        return {
            "notifier": partial(repeat, notifier.notify_due, notices, "approvers not notified"),
            "quarantine": partial(repeat, quarantine.step, interval, "quarantine interrupted"),
            "keeps": partial(repeat, keeps.step, interval, "kept downloads not judged"),
            "questions": partial(repeat, questions.step, interval, "starters not asked"),
        }

    def of_projects(self) -> dict[tuple[str, str, AtlasReader], Loop]:
        """Return the loops of the projects by what they depend on: kind, project, and client."""
        wanted: dict[tuple[str, str, AtlasReader], Loop] = {}
        for project in self._core.projects.all:
            wanted["key", project.id, project.atlas] = partial(self._core.follow_key, project)
            if project.is_watched:
                watch = self.leader.loop(partial(self.watch, project))
                wanted["watch", project.id, project.atlas] = watch
            else:
                forget = partial(self._watches.forget, project.id)
                again = self._core.timings.cluster_list_interval
                end = partial(repeat, forget, again, "end of watch not recorded")
                wanted["end of watch", project.id, project.atlas] = self.leader.loop(end)
        return wanted

    async def watch(self, project: Project) -> None:
        metrics, name = self._core.metrics, project.name

        def on_read(read_at: datetime | None) -> None:
            """Report a read by the name as it is now, which is the id until Atlas has answered."""
            nonlocal name
            now = self._core.projects.get_or_none(project.id) or project
            if now.name != name:
                metrics.stop_watch(name)
                name = now.name
            metrics.watch_success.labels(project=name).set(read_at.timestamp() if read_at else 0)

        watcher = Watcher(
            self._core.projects,
            project.id,
            self._watches,
            FeedMonitor(project.id, self._core.jobs.feeds),
            self._core.pacer,
            interval=self._core.settings.watch_interval.total_seconds(),
            events_interval=self._core.settings.events_interval.total_seconds(),
            timings=self._core.timings,
            on_read=on_read,
            on_listed=self._jobs.follow,
        )
        try:
            await watcher.run()
        finally:
            # What is not watched any more is not late; the new leader has the numbers.
            metrics.stop_watch(name)

    def start_webhook(
        self, start: Callable[[Loop, str], asyncio.Task[None]]
    ) -> Callable[[float], Coroutine[Any, Any, None]] | None:
        """Start the audit webhook, if one is configured; return what stops it within seconds."""
        hook, timings = self._core.settings.audit_webhook, self._core.timings
        if hook is None:
            return None
        # Loading the libraries takes 40 ms, which most bots save.
        from bot.webhook import WebhookClient, WebhookWorker  # noqa: PLC0415 - see above

        worker = WebhookWorker(
            self._events,
            WebhookClient(hook.url, hook.secret, timeout=timings.webhook_try_timeout),
            timings=timings,
        )
        self._core.metrics.webhook_lag.set_function(worker.lag)
        task = start(self.leader.loop(worker.run), "audit webhook")
        return lambda seconds: worker.stop(task, seconds)


def quarantine_at(projects: Projects, project_id: str, cluster: str) -> WatchedCluster | None:
    """Return what quarantine needs to know about a cluster; None where it is off."""
    if (project := projects.get_or_none(project_id)) is None:
        return None
    policy = project.policies.of(cluster)
    if not (policy.watch_channel and policy.quarantine is not Mode.OFF):
        return None
    return WatchedCluster(project=project.name, channel=policy.watch_channel, policy=policy)
