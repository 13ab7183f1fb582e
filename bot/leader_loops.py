"""Builds the background loops, which run in the replica that leads."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from bot.cancellation.quarantine import WatchedCluster
from bot.services.activity_feed import FeedMonitor
from bot.services.direct import DirectMessages
from bot.services.kept_downloads import KeptDownloads
from bot.services.leader import Leader
from bot.services.projects import Project, Projects
from bot.services.quarantine import Quarantine
from bot.services.sweeper import Notifier, Sweeper
from bot.services.watch import Watcher
from bot.slack.directory import Directory
from bot.storage.history import History
from bot.storage.job_store import JobStore
from bot.storage.replicas import LeaderLease
from bot.storage.notice_store import NoticeStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.quarantine_store import QuarantineStore
from bot.storage.request_store import RequestStore
from bot.storage.watch_store import WatchStore
from bot.storage.webhook_store import WebhookStore
from bot.tasks import Loop
from bot.wiring import CoreServices


class LeaderLoops:
    """Each method runs one loop until cancelled; its stores write only while this process leads."""

    def __init__(self, services: CoreServices) -> None:
        self._core = services
        database, clock, metrics = services.database, services.clock, services.metrics
        lease = LeaderLease(database, clock, services.owner, services.timings.leader_lease)
        self.leader = Leader(lease, clock, timings=services.timings)
        fence = lease.check_held
        on_state = metrics.count_state
        self.outbox = OutboxStore(database, clock, fence=fence)
        self._requests = RequestStore(database, clock, on_state_entered=on_state, fence=fence)
        self._notices = NoticeStore(database, clock, fence=fence)
        self._history = History(database, clock, fence=fence)
        self._events = WebhookStore(database, clock, services.owner, fence=fence)
        self._quarantine = QuarantineStore(
            database,
            clock,
            partial(quarantine_at, services.projects),
            on_state_entered=on_state,
            on_limit=lambda name: metrics.quarantine_limit_reached.labels(project=name).inc(),
            fence=fence,
        )
        self._watches = WatchStore(
            database,
            clock,
            services.owner,
            self._quarantine,
            on_state_entered=on_state,
            fence=fence,
        )
        self._jobs = replace(services.jobs, store=JobStore(database, clock, fence=fence))

    async def follow_jobs(self) -> None:
        await self._jobs.run()

    async def sweep(self) -> None:
        """Do due work until cancelled."""
        await Sweeper(
            requests=self._requests,
            history=self._history,
            leases=self._core.leases,
            runner=self._core.runner,
            now=self._core.clock,
            interval=self._core.timings.sweep_interval,
            on_change=self._core.on_change,
        ).run()

    def direct_messages(self, directory: Directory) -> DirectMessages:
        return DirectMessages(
            store=self._notices,
            projects=self._core.projects,
            find=directory.candidates,
            on_change=self._core.on_change,
        )

    async def judge_keeps(self, email_of: Callable[[str], Awaitable[str | None]]) -> None:
        """Judge keeps by new starters until cancelled."""
        await KeptDownloads(
            self._quarantine,
            self._core.projects,
            email_of,
            on_change=self._core.on_change,
            interval=self._core.timings.quarantine_interval,
        ).run()

    async def quarantine(
        self,
        slack_answers: Callable[[], Awaitable[bool]],
        takes_posts: Callable[[str, float], Awaitable[bool]],
        direct: DirectMessages,
    ) -> None:
        """End quarantines until cancelled, also of projects where it was switched off."""
        await Quarantine(
            self._quarantine,
            self._core.projects,
            self._jobs,
            self._core.runner,
            slack_answers=slack_answers,
            takes_posts=takes_posts,
            copy_card=direct.copy_card,
            now=self._core.clock,
            on_change=self._core.on_change,
            interval=self._core.timings.quarantine_interval,
        ).run()

    async def notify_approvers(self, directory: Directory) -> None:
        await Notifier(
            self._notices,
            self._core.projects,
            directory.candidates,
            now=self._core.clock,
            interval=self._core.timings.notice_interval,
            on_change=self._core.on_change,
        ).run()

    async def watch(self, project: Project) -> None:
        last_read = self._core.metrics.watch_success
        watcher = Watcher(
            project,
            self._watches,
            FeedMonitor(project.id, self._core.jobs.feeds),
            self._core.pacer,
            interval=self._core.settings.watch_interval.total_seconds(),
            events_interval=self._core.settings.events_interval.total_seconds(),
            timings=self._core.timings,
            on_change=self._core.on_change,
            on_read=lambda: last_read.labels(project=project.name).set_to_current_time(),
        )
        try:
            await watcher.run()
        finally:
            last_read.remove(project.name)  # what is not watched any more is not late

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
            clock=self._core.clock,
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
    if policy.watch_channel is None or not policy.quarantine.is_on:
        return None
    return WatchedCluster(
        project=project.name, channel=policy.watch_channel, policy=policy.quarantine
    )
