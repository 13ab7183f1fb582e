"""Controls the demo: starts scenarios, kills the bot and starts it again, publishes its state."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from bot.demo.call_log import CallLog
from bot.demo.environment import CHANNEL, are_announced
from bot.demo.process import BotProcess
from bot.demo.scenarios import CLUSTER, FIRST, SCENARIOS, Scenario
from bot.demo.script_session import state_of
from bot.sandbox.atlas import PROJECT_ID, Call, FakeAtlasServer
from bot.sandbox.atlas.jobs import DeliveryType
from bot.sandbox.slack import FakeSlackServer
from bot.sandbox.slack.event_bus import ChangeEvent
from bot.startup_checks import StartError

#: Seconds from the start of the bot to its Socket Mode connection.
READY_TIMEOUT = 20.0

#: Seconds in which the bot announces all downloads that run already.
WATCH_TIMEOUT = 60.0

ANNOUNCER = "ci-bot"


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
        self._changing = False
        self._scenario: Scenario = SCENARIOS[FIRST]
        self._job_id = ""
        # Serializes the changes that several tabs request.
        self._lock = asyncio.Lock()

    def state(self) -> dict[str, Any]:
        """Return what the page shows about the demo itself; also the data of `demo` events."""
        return {
            "bot": "starting" if self._starting else "running" if self._process.pid else "stopped",
            "pid": self._process.pid,
            "approvals": self._approvals,
            "scenario": self._scenario.name,
            "changing": self._changing,
            "command": f"/cancel-restore {CLUSTER} {self._job_id}" if self._job_id else "",
            "fault": self._scenario.fault if self.atlas.faults.active else "",
            "jobs": self._jobs(),
        }

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
        """Log a call to Atlas; publish the state if the call changed it."""
        self.call_log.add_atlas_call(call)
        if call.effect or call.faults:
            self.publish_state()

    async def start_scenario(self, name: str) -> None:
        """Set up a scenario: faults, approvals, and a restore job to cancel.

        Raises:
            KeyError: there is no such scenario.
            StartError: the bot had to be started and did not connect.
        """
        scenario = SCENARIOS[name]
        async with self._lock:
            self._changing = True
            self.publish_state()
            try:
                await self._set_up(scenario)
            finally:
                self._changing = False
                self.publish_state()

    async def _set_up(self, scenario: Scenario) -> None:
        self.atlas.faults.clear()
        needed = max(self._min_approvals, scenario.approvals)
        self._approvals = 0 if scenario.without_approval else needed
        self._settings = scenario.settings
        await self._ensure_running()
        if scenario.is_watched:
            await self._wait_for_watch()
        self._scenario, self._job_id = scenario, self._prepare_job(scenario)
        self.call_log.add("scenario", text=scenario.title)
        self.atlas.faults.add(*scenario.faults)

    async def _wait_for_watch(self) -> None:
        """Wait until the downloads that run already are announced: a later one is new."""
        try:
            await self.slack.until(lambda: are_announced(self.slack, self.atlas), WATCH_TIMEOUT)
        except TimeoutError:
            raise StartError("The bot did not announce the downloads that run already.") from None

    def _prepare_job(self, scenario: Scenario) -> str:
        """Return the id of the job to cancel, which starts now unless it is an automated one."""
        cluster = self.atlas.world.projects[PROJECT_ID].clusters[CLUSTER]
        if scenario.is_automated:
            return next(
                job.id
                for job in cluster.jobs.values()
                if job.delivery_type is DeliveryType.AUTOMATED and not job.over
            )
        job = self.atlas.world.add_job(cluster)
        if not scenario.is_watched:
            text = f"Atlas: a download of {CLUSTER} was started, restore job {job.id}"
            self.slack.people.says(ANNOUNCER, CHANNEL, text)
        return job.id

    def on_slack_event(self, event: ChangeEvent) -> None:
        """Let the link go live some time after the card of the request, if the scenario says so."""
        delay, job = self._scenario.link_delay, self._job_id
        if not delay or event.kind != "message":
            return
        message = event.data["message"]
        if state_of(message) == "awaiting" and job in str(message["blocks"]):
            asyncio.get_running_loop().call_later(delay, self._release_link, job)

    def _release_link(self, job_id: str) -> None:
        """Let the link of a job go live, unless it has ended or its link is live already."""
        job = self.atlas.world.job(job_id)
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
        await asyncio.wait({ready, exited}, return_when=asyncio.FIRST_COMPLETED)
        for task in (ready, exited):
            task.cancel()
        results = await asyncio.gather(ready, exited, return_exceptions=True)
        for error in results:
            if isinstance(error, TimeoutError):
                raise StartError(
                    f"The bot did not connect within {READY_TIMEOUT:.0f} seconds; its log is "
                    f"{self._process.log}."
                )
            if isinstance(error, StartError):
                raise error

    async def _wait_for_connections(self, least: int) -> None:
        """Wait until the bot is connected, or with 0 until it is disconnected."""
        sockets = self.slack.sockets
        await self.slack.until(lambda: bool(sockets.connections) == bool(least), READY_TIMEOUT)
