"""Controls the demo: starts scenarios, kills the bot and starts it again, publishes its state."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.app import StartError
from bot.demo.call_log import CallLog
from bot.demo.process import BotProcess
from bot.demo.scenarios import CLUSTER, FIRST, LINK_AFTER, OPS, SCENARIOS, Scenario
from bot.sandbox.atlas import PROJECT_ID, Call, FakeAtlasServer
from bot.sandbox.atlas.jobs import DeliveryType, RestoreJob
from bot.sandbox.slack import FakeSlackServer
from bot.tasks import cancel_and_wait

#: Seconds from the start of the bot to its Socket Mode connection.
READY_TIMEOUT = 20.0

#: Seconds between two downloads: closer ones share the events of their starts.
APART = 7.0

#: A `ts` after those of all messages.
AFTER_ALL = "9999999999.000000"

#: Seconds in which the bot announces every download that runs.
WATCH_TIMEOUT = 60.0


class Controller:
    """Carries out what the page's buttons request.

    Args:
        slack: the fake Slack, which also serves the page.
        atlas: the fake Atlas, whose faults are set.
        process: the bot.
        call_log: what the page's Calls pane shows.
        environ: the bot's settings for a number of approvals; a scenario adds to them.
        approvals: that number, unless a scenario needs more or none.
    """

    def __init__(
        self,
        *,
        slack: FakeSlackServer,
        atlas: FakeAtlasServer,
        process: BotProcess,
        call_log: CallLog,
        environ: Callable[[int], dict[str, str]],
        approvals: int,
    ) -> None:
        self.call_log = call_log
        self.slack = slack
        self.atlas = atlas
        self._process = process
        process.on_exit = self.publish_state
        self._environ = environ
        self._min_approvals = approvals
        self._approvals = approvals
        self._settings: Mapping[str, str] = {}
        self._running_with: dict[str, str] | None = None
        self._starting = False
        self._scenario: Scenario = SCENARIOS[FIRST]
        #: The job to cancel, and what creates its link.
        self.job: RestoreJob | None = None
        self._link: asyncio.TimerHandle | None = None
        #: The page shows the messages that came after this `ts`.
        self._since = AFTER_ALL
        # Serializes the changes that several tabs request.
        self._lock = asyncio.Lock()

    def state(self) -> dict[str, Any]:
        """Return what the page shows about the demo itself; also the data of `demo` events."""
        return {
            "bot": "starting" if self._starting else "running" if self._process.pid else "stopped",
            "pid": self._process.pid,
            "approvals": self._approvals,
            "scenario": self._scenario.shown,
            "since": self._since,
            "command": f"/cancel-restore {CLUSTER} {self.job.id}" if self.job else "",
            "link_at": self.link_at,
            "fault": self._scenario.fault if self.atlas.faults.active else "",
            "jobs": self._jobs(),
        }

    @property
    def link_at(self) -> float | None:
        """The time of the link of the scenario's download."""
        if self.job is None:
            return None
        return self.job.created_at.timestamp() + LINK_AFTER

    @property
    def link_after(self) -> float:
        """Seconds from the start of the scenario to the link of its download."""
        return LINK_AFTER - self._scenario.age

    def _jobs(self) -> list[dict[str, Any]]:
        """List the restore jobs as Atlas has them, newest first, without download links."""
        jobs = sorted(self.atlas.world.jobs(), key=lambda pair: pair[1].created_at, reverse=True)
        return [
            {
                "id": job.id,
                "cluster": cluster.name,
                "type": str(job.delivery_type),
                "state": job.state,
                "at": job.created_at.timestamp(),
            }
            for cluster, job in jobs
        ]

    def publish_state(self) -> None:
        """Send the current state to every open page."""
        self.slack.world.events.publish("demo", **self.state())

    def on_call(self, call: Call) -> None:
        """Log a call to Atlas; publish the state if the call changed it.

        The log has the calls about the scenario's job, and every DELETE. It has not what the watch
        reads every two seconds.
        """
        if (self.job and self.job.id in call.path) or call.method == "DELETE":
            self.call_log.add_atlas_call(call)
        if call.effect or call.faults:
            self.publish_state()

    async def start_scenario(self, name: str, pauses: float = 0.0) -> None:
        """Set up a scenario: settings, a restore job to cancel, faults.

        Args:
            name: of the scenario.
            pauses: seconds for which its people pause, which are over when it begins.

        Raises:
            KeyError: there is no such scenario.
            StartError: the bot had to be started and did not connect, or did not announce the job.
        """
        scenario = SCENARIOS[name]
        scenario = replace(scenario, age=scenario.age + pauses)
        async with self._lock:
            self._end_leftovers()
            self._since = AFTER_ALL
            self._scenario = scenario
            self.publish_state()
            try:
                await self._set_up(scenario)
            finally:
                self.publish_state()

    def _end_leftovers(self) -> None:
        """End the faults and the download of the last scenario: nothing of it comes up again."""
        self.atlas.faults.clear()
        if self._link:
            self._link.cancel()
        if self.link_at and self.job and not self.job.over:
            self.job.cancel()
        self.job = None

    async def _set_up(self, scenario: Scenario) -> None:
        needed = max(self._min_approvals, scenario.approvals)
        self._approvals = 0 if scenario.without_approval else needed
        self._settings = scenario.settings
        await self._ensure_running()
        await self._wait_for_announcements()  # of what ran before the demo
        await self._wait_for_a_gap()
        self._since = self.slack.world.ids.ts()
        self.atlas.faults.add(*(fault for fault in scenario.faults if fault.path))
        self.job = self._prepare_job(scenario)
        self.call_log.add("scenario", text=scenario.title)
        self.publish_state()
        # The other faults are for the calls of people, not for the watch.
        if faults := [fault for fault in scenario.faults if not fault.path]:
            await self._wait_for_announcements()
            path = f"/restoreJobs/{self.job.id}"
            self.atlas.faults.add(*(replace(fault, path=path) for fault in faults))

    async def _wait_for_announcements(self) -> None:
        """Wait until each download that can be cancelled is announced: a later one is new."""
        try:
            await self.slack.until(self._are_announced, WATCH_TIMEOUT)
        except TimeoutError:
            raise StartError("The bot did not announce the downloads that run.") from None

    async def _wait_for_a_gap(self) -> None:
        """Wait until a download that is started now differs from those before.

        The event of the last one must not be taken for its own. It is new for the watch if its id,
        which has whole seconds, is later than the start of the watch.
        """
        now = self.atlas.clock()
        newest = max(job.created_at for _, job in self.atlas.world.jobs())
        next_second = 1.0 - now.microsecond / 1e6
        await asyncio.sleep(max(next_second, APART - (now - newest).total_seconds()))

    def _are_announced(self) -> bool:
        said = str(self.slack.state.messages(OPS))
        return all(
            job.id in said
            for cluster, job in self.atlas.world.jobs()
            if not cluster.flex and job.delivery_type is DeliveryType.DOWNLOAD and not job.over
        )

    def _prepare_job(self, scenario: Scenario) -> RestoreJob:
        """Start the download that the scenario is about."""
        cluster = self.atlas.world.projects[PROJECT_ID].clusters[CLUSTER]
        started_at = self.atlas.clock() - timedelta(seconds=scenario.age)
        job = self.atlas.world.add_job(cluster, now=started_at)
        loop = asyncio.get_running_loop()
        self._link = loop.call_later(self.link_after, self._release_link, job)
        return job

    def _release_link(self, job: RestoreJob) -> None:
        """Let the link of a job go live, unless it has ended or its link is live already."""
        if job.state == "running":
            job.release(self.atlas.clock())
            self.publish_state()

    async def clear_faults(self) -> None:
        """End the faults of the fake Atlas."""
        async with self._lock:
            self.atlas.faults.clear()
            self.publish_state()

    async def start_bot(self) -> None:
        """Start the bot unless it runs already.

        Raises:
            StartError: the bot did not connect.
        """
        async with self._lock:
            await self._ensure_running()

    async def kill_bot(self) -> None:
        """Send SIGKILL to the bot."""
        async with self._lock:
            self.call_log.add_kill(self._process.pid)
            await self._process.kill()
            await self._wait_for_connections(0)
            self.publish_state()

    async def close(self) -> None:
        """Stop the bot."""
        if self._link:
            self._link.cancel()
        await self._process.stop()

    async def _ensure_running(self) -> None:
        wanted = self._environ(self._approvals) | dict(self._settings)
        if self._process.pid and self._running_with == wanted:
            return
        self._starting = True
        self.publish_state()
        try:
            await self._process.stop()
            await self._wait_for_connections(0)
            await self._process.start(wanted)
            self.call_log.add("bot", text=f"started (process {self._process.pid})")
            await self._wait_until_connected()
        finally:
            self._running_with = wanted
            self._starting = False
            self.publish_state()

    async def _wait_until_connected(self) -> None:
        """Wait for Socket Mode; raise `StartError` if the process exits or takes too long."""
        ready = asyncio.create_task(self._wait_for_connections(1))
        exited = asyncio.create_task(self._process.raise_at_exit())
        try:
            done, _ = await asyncio.wait({ready, exited}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(ready, exited)
        try:
            for task in done:
                task.result()
        except TimeoutError:
            raise StartError(
                f"The bot did not connect within {READY_TIMEOUT:.0f} seconds; its log is "
                f"{self._process.log}."
            ) from None

    async def _wait_for_connections(self, least: int) -> None:
        """Wait until the bot is connected, or with 0 until it is disconnected."""
        sockets = self.slack.sockets
        await self.slack.until(lambda: bool(sockets.connections) == bool(least), READY_TIMEOUT)


def state_of(message: Mapping[str, Any]) -> str:
    """Return the request's state in a message's metadata, or empty."""
    metadata = message.get("metadata") or {}
    return str((metadata.get("event_payload") or {}).get("state") or "")
