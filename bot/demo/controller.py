"""The stage of the demo's page: plays scenes, and kills the bot and starts it again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bot.demo.scenarios import CLUSTER, FIRST, SCENARIOS
from bot.sandbox.atlas import PROJECT_ID
from bot.startup_checks import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.demo.call_log import CallLog
    from bot.demo.process import BotProcess
    from bot.demo.scenarios import Scenario
    from bot.sandbox.atlas import Call, FakeAtlasServer
    from bot.sandbox.slack import FakeSlackServer

#: Seconds in which the bot must be there after its start.
READY = 20.0

CHANNEL = "ops"
HERALD = "ci-bot"


class Controller:
    """What the page's buttons do.

    Args:
        slack: the stand-in that also serves the page.
        atlas: the stand-in whose faults are set.
        process: the bot.
        tape: what the page's wire pane shows.
        environ: the bot's settings for a number of approvals.
        approvals: that number, unless a scene wants more or none.
    """

    def __init__(
        self,
        *,
        slack: FakeSlackServer,
        atlas: FakeAtlasServer,
        process: BotProcess,
        tape: CallLog,
        environ: Callable[[int], dict[str, str]],
        approvals: int,
    ) -> None:
        self.tape = tape
        self.slack = slack
        self.atlas = atlas
        self._process = process
        process.told = self.tell
        self._environ = environ
        self._least = approvals
        self._approvals = approvals
        self._running_with: int | None = None
        self._starting = False
        self._changing = False
        self._scene: Scenario = SCENARIOS[FIRST]
        self._line = ""
        # One change after the other, whoever clicks what in which tab.
        self._turn = asyncio.Lock()

    def state(self) -> dict[str, Any]:
        """Return what the page shows about the demo itself, for `stage` events too."""
        return {
            "bot": "starting" if self._starting else "running" if self._process.pid else "stopped",
            "pid": self._process.pid,
            "approvals": self._approvals,
            "scene": self._scene.name,
            "changing": self._changing,
            "line": self._line,
            "fault": self._scene.fault if self.atlas.faults.active else "",
            "jobs": self._jobs(),
        }

    def _jobs(self) -> list[dict[str, Any]]:
        """List the restore jobs as Atlas has them, newest first; never a link."""
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

    def tell(self) -> None:
        """Show every open page how things are now."""
        self.slack.world.events.publish("stage", **self.state())

    def on_call(self, call: Call) -> None:
        """Show a call to Atlas, and what it changed."""
        self.tape.atlas(call)
        if call.effect or call.faults:
            self.tell()

    async def play(self, name: str) -> None:
        """Set a scene up: faults, approvals, and a restore job to cancel.

        Raises:
            KeyError: there is no such scene.
            StartError: the bot, which had to be started, did not come up.
        """
        scene = SCENARIOS[name]
        async with self._turn:
            self._changing = True
            self.tell()
            try:
                await self._set(scene)
            finally:
                self._changing = False
                self.tell()

    async def _set(self, scene: Scenario) -> None:
        self.atlas.faults.clear()
        self._approvals = 0 if scene.alone else max(self._least, scene.approvals)
        await self._be_running()
        self._scene, self._line = scene, self._command(scene)
        self.tape.note("scene", what=scene.title)
        self.atlas.faults.add(*scene.faults)

    def _command(self, scene: Scenario) -> str:
        """Have the restore job that the scene is about, and return the line to type."""
        job = scene.job
        if not job:
            cluster = self.atlas.world.projects[PROJECT_ID].clusters[CLUSTER]
            job = self.atlas.world.add_job(cluster).id
            said = f"Atlas: a download of {CLUSTER} was started, restore job {job}"
            self.slack.people.says(HERALD, CHANNEL, said)
        return f"/cancel-restore {CLUSTER} {job}"

    async def mend(self) -> None:
        """End what is wrong at Atlas."""
        async with self._turn:
            self.atlas.faults.clear()
            self.tell()

    async def start(self) -> None:
        """Start the bot, if it does not run as it should; raises what `play` raises."""
        async with self._turn:
            await self._be_running()

    async def kill(self) -> None:
        """End the bot as `kill -9` does."""
        async with self._turn:
            self.tape.killed(self._process.pid)
            await self._process.kill()
            await self._until_connections(0)
            self.tell()

    async def close(self) -> None:
        """End the bot."""
        await self._process.stop()

    async def _be_running(self) -> None:
        if self._process.pid and self._running_with == self._approvals:
            return
        self._starting = True
        self.tell()
        try:
            await self._process.stop()
            await self._until_connections(0)
            await self._process.start(self._environ(self._approvals))
            self.tape.note("bot", what=f"started (process {self._process.pid})")
            await self._until_connected()
        finally:
            self._running_with = self._approvals
            self._starting = False
            self.tell()

    async def _until_connected(self) -> None:
        """Wait for Socket Mode, or for the end of a process that could not start."""
        ready = asyncio.create_task(self._until_connections(1))
        ended = asyncio.create_task(self._process.ended())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in (ready, ended):
            task.cancel()
        done = await asyncio.gather(ready, ended, return_exceptions=True)
        for error in done:
            if isinstance(error, TimeoutError):
                raise StartError("The bot does not come up; its log is in the demo's folder.")
            if isinstance(error, StartError):
                raise error

    async def _until_connections(self, least: int) -> None:
        """Wait until the bot is connected, or (0) until it is not any more."""
        sockets = self.slack.sockets
        await self.slack.until(lambda: bool(sockets.connections) == bool(least), READY)
