"""The people of a campaign: what they do about one download, at random."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bot.sandbox.atlas import RestoreJob
from bot.sandbox.slack import Ack, CannotDo
from tests.support.process import execute
from tests.support.serving import APPROVE, LET_RUN, OPEN, Serving
from tests.tools.kills import scene
from tests.tools.kills.calm import Calm
from tests.tools.kills.chaos import Size
from tests.tools.kills.record import Act, Download, Kind, Process, Record
from tests.tools.kills.scene import Messages, until

Json = dict[str, Any]
#: Seconds in which each click has an answer.
ANSWER_WITHIN = 15.0
SEEN_WITHIN = 60.0  #: seconds for which people wait for the message
COMMAND_WITHIN = 100.0
COMMANDS_AT_ONCE = 2


@dataclass(eq=False)
class People:
    """Acts of people; each person does one thing at a time."""

    serving: Serving
    record: Record
    messages: Messages
    calm: Calm
    chance: random.Random
    size: Size
    _busy: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _commands: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(COMMANDS_AT_ONCE)
    )

    async def live(self) -> None:
        """Start a download, let people act on it, and let it end."""
        download = self._start()
        job = download.job
        await until(lambda: self.messages.find(job.id), SEEN_WITHIN)
        for _ in range(self.chance.choice((0, 1, 1, 2, 2, 3, 4))):
            both = self.chance.choice((1, 1, 1, 2))
            await asyncio.gather(*(self._act(download) for _ in range(both)))
            if self.chance.random() < 0.05:
                job.release(datetime.now(UTC))
                self.record.note(job.id, "Atlas: the link is live")
            await asyncio.sleep(self.chance.uniform(0.0, 4.0))
        await until(lambda: job.over, self.chance.uniform(*self.size.linger))
        if self.size.ends_all and not job.over:
            how = self.chance.choice((job.cancel, job.expire, job.fail, None))
            how() if how else job.finish(datetime.now(UTC))
            self.record.note(job.id, f"Atlas: {job.state}, by other means")

    def _start(self) -> Download:
        project = self.chance.choices(scene.PROJECTS, (5, 2, 3))[0]
        cluster = self.chance.choice(sorted(project.clusters))
        world = self.serving.atlas.world
        began = time.time()
        job = world.add_job(world.projects[project.id].clusters[cluster])
        download = Download(job=job, project=project, cluster=cluster, started=began)
        self.record.downloads[job.id] = download
        self.record.note(job.id, f"started in {project.name}, {cluster}")
        return download

    async def _act(self, download: Download) -> None:
        """Let one person do one thing."""
        weights = {self.ask: 8, self.approve: 6, self.let_run: 3, self.act_alone: 1}
        act = self.chance.choices([*weights, self.command], [*weights.values(), 0.7])[0]
        await act(download)

    def _one_of(self, likely: tuple[str, ...], download: Download) -> str:
        """Return a person: mostly one who may do it."""
        asked = [act.who for act in self.record.of(download.job.id, "ask")]
        others = (*scene.REQUESTERS, *scene.APPROVERS, *scene.OUTSIDERS)
        groups = (likely, others, tuple(asked) or likely)
        return self.chance.choice(self.chance.choices(groups, (7, 1, 2))[0])

    # What people do

    async def ask(self, download: Download) -> None:
        """Click, read the dialog, submit; some submit again where no answer came."""
        who = self._one_of((*scene.REQUESTERS, *scene.APPROVERS[:2]), download)
        await self._ask(download, who, "ask")

    async def act_alone(self, download: Download) -> None:
        await self._ask(download, self._one_of(scene.ALONE, download), "alone")

    async def _ask(self, download: Download, who: str, kind: Kind) -> None:
        async with self._busy[who]:
            view = await self._open(who, download, OPEN)
            values: Json = {"reason": "by mistake"}
            inputs = {block["block_id"] for block in (view or {}).get("blocks", ())}
            if kind == "alone" and "alone" in inputs:
                values["alone"] = ["alone"]
            elif kind == "alone":
                kind = "ask"
            await self._submit(download, who, view, kind, values)

    async def let_run(self, download: Download) -> None:
        who = self._one_of(scene.APPROVERS, download)
        async with self._busy[who]:
            view = await self._open(who, download, LET_RUN)
            await self._submit(download, who, view, "let_run", {"reason": "it is a drill"})

    async def approve(self, download: Download) -> None:
        """Click once, or twice in a row, or in an older version of the message."""
        who = self._one_of(scene.APPROVERS, download)
        times = self.chance.choice((1, 1, 1, 2))
        async with self._busy[who]:
            await asyncio.gather(*(self._approve(download, who) for _ in range(times)))

    async def _approve(self, download: Download, who: str) -> None:
        job = download.job.id
        message = self._shown(job)
        if message is None:
            return
        act = Act(job=job, who=who, kind="approve", began=time.time())
        async with self.calm.click() as is_calm:
            before = self.messages.answers(job, who)
            self.record.acts.append(act)
            ack = await self._click(who, message, APPROVE)
            act.ended = time.time()
            if ack is None:
                self.record.acts.remove(act)
                return
            self.record.counts["approve"] += 1
            self.record.note(job, f"{who} clicked Approve: {ack.error or 'ok'}")
            await self._check(
                is_calm, who, job, "Approve", lambda: self.messages.answers(job, who) != before
            )

    def _shown(self, job: str) -> Json | None:
        """Return the message as a person's client shows it: sometimes an older version."""
        message = self.messages.find(job)
        if message and message["edits"] and self.chance.random() < 0.15:
            old = self.chance.choice(message["edits"])
            return {**old, "channel": message["channel"], "edits": [], "is_stale": True}
        return message

    async def _click(self, who: str, message: Json, action: str) -> Ack | None:
        """Click; None where Slack's client does not offer it."""
        stale = bool(message.pop("is_stale", False))
        try:
            return await self.serving.slack.people.clicks(who, message, action, stale=stale)
        except CannotDo:
            return None

    async def _open(self, who: str, download: Download, action: str) -> Json | None:
        """Click a button that opens a dialog; return the dialog, None where none was shown."""
        job, slack = download.job.id, self.serving.slack
        message = self._shown(job)
        if message is None:
            return None
        async with self.calm.click() as is_calm:
            told = self.messages.private[who]
            before = (slack.state.view_of(who) or {}).get("id")
            ack = await self._click(who, message, action)
            if ack is None:
                return None
            self.record.counts["open"] += 1
            self.record.note(job, f"{who} clicked {action}: {ack.error or 'ok'}")

            def dialog() -> Json | None:
                view = slack.state.view_of(who)
                is_new = view is not None and view["id"] != before
                return (
                    view
                    if view and is_new and "Looking up" not in slack.state.text_of(view)
                    else None
                )

            def is_answered() -> bool:
                return dialog() is not None or self.messages.private[who] > told

            if ack.ok or is_calm:
                await until(is_answered, ANSWER_WITHIN)
            await self._check(is_calm, who, job, action, is_answered)
            return dialog()

    async def _submit(
        self, download: Download, who: str, view: Json | None, kind: Kind, values: Json
    ) -> None:
        """Submit a dialog, again where no answer came, and close what stays open."""
        people, state, job = self.serving.slack.people, self.serving.slack.state, download.job.id
        for _ in range(2):
            if view is None or not view.get("submit") or state.view_of(who) is None:
                break
            async with self.calm.click() as is_calm:
                before = self.messages.answers(job, who)
                act = self.record.begin(who, kind, job)
                ack = await people.submits(who, view, values)
                act.ended = time.time()
                act.accepted = ack.ok and not ack.body
                self.record.note(job, f"{who} submitted {kind}: {ack.error or ack.body or 'taken'}")

                def is_answered(ack: Ack = ack, before: tuple[int, int] = before) -> bool:
                    return bool(ack.ok and ack.body) or self.messages.answers(job, who) != before

                await self._check(is_calm, who, job, kind, is_answered)
            if ack.ok:
                break
        if state.view_of(who) is not None:
            await people.closes(who)

    async def _check(
        self, is_calm: bool, who: str, job: str, what: str, is_answered: Callable[[], bool]
    ) -> None:
        """Without a fault in the way, each click has an answer."""
        if is_calm:
            self.record.counts["clicks without a fault"] += 1
            if not await until(is_answered, ANSWER_WITHIN):
                self.record.found.append(("click without an answer", job, f"{who}: {what}"))

    # The command line

    async def command(self, download: Download) -> None:
        """Cancel at the command line; some are killed, and called again."""
        job = download.job
        async with self._commands:
            is_killed = self.chance.random() < 0.3
            if is_killed:
                await self._run_command(download, job, self.chance.uniform(0.5, 3.0))
            await self._run_command(download, job, None)

    async def _run_command(
        self, download: Download, job: RestoreJob, kill_after: float | None
    ) -> None:
        url = await self.serving.atlas.listen_again()
        name = f"command {len(self.record.processes)}"
        host = url.removeprefix("http://")
        self.record.processes[host] = Process(name=name, host=host)
        environ = {**self.serving.environ, "MONGODB_ATLAS_BASE_URL": url}
        environ = {k: v for k, v in environ.items() if not k.startswith("SLACK_")}
        act = self.record.begin(f"cli:{name}", "command", job.id)
        arguments = ("cancel", download.project.name, download.cluster, job.id)
        options = ("--reason", "Slack is down", "--yes", "--without-approval")
        process = await execute(environ, *arguments, *options)
        try:
            output = await asyncio.wait_for(process.communicate(), kill_after or COMMAND_WITHIN)
        except TimeoutError:
            process.kill()
            output = await process.communicate()
            if kill_after is None:
                self.record.found.append(("command that did not end", job.id, name))
        act.ended = time.time()
        act.accepted = process.returncode == 0
        err = output[1].decode()
        self.record.note(job.id, f"{name} ended with {process.returncode}: {err.strip()[-300:]}")
        if process.returncode not in {0, 1, 2, -9} or "Traceback" in err:
            self.record.found.append(("command that failed otherwise", job.id, err))


def work(people: People, is_enough: Callable[[], bool]) -> Awaitable[None]:
    """Let one download after the other live until it is enough."""

    async def run() -> None:
        while not is_enough():
            await people.live()

    return run()
