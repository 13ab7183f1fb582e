"""300 downloads that start at once in one channel, under Slack's documented rates.

Slack takes five posts at once and one a second in a channel, and 50 edits a minute, and answers 429
to more. Meanwhile a person types the list, and asks for the newest download to be cancelled, again
and again: from the submit until the message says *cancelled*, and until the reply mentions them.
"""

import asyncio
import time
from collections import Counter
from itertools import cycle, islice

from bot.sandbox.atlas import RestoreJob
from bot.sandbox.slack import RATES
from bot.sandbox.slack import Settings as SlackSettings
from tests.benchmarks.environment import (
    JOB_ID,
    BotEnvironment,
    Options,
    channel_id,
    cpu_seconds,
    many_projects,
    new_atlas,
    new_slack,
    open_bot,
    projects_file,
)
from tests.benchmarks.results import Figure, median

CLUSTERS = 30
PERSON = "rina"
ASK_EVERY = 20.0  #: seconds between two requests
ONE_A_SECOND, ACK, SHOWN = 1.5, 1000.0, 10.0  #: the goals: a ratio, in ms and in s


async def measure(options: Options) -> list[Figure]:
    count = options.pick(12, 300)
    world, clusters = many_projects(1, CLUSTERS)
    (project,) = (project.name for project in world.projects.values())
    slack = new_slack(SlackSettings(rates=RATES))
    slack.workspace.app.scopes.add("chat:write.public")
    channel = slack.workspace.channel("ops").id
    with projects_file(world) as environ:
        async with (
            new_atlas(world) as atlas,
            slack,
            open_bot(None, slack, atlas, **environ, BOT_CHANNEL=channel) as env,
        ):
            cpu, began = cpu_seconds(env.bot.pid), time.perf_counter()
            downloads = [
                (env.start_download(cluster), f"{project} {cluster.name}")
                for cluster in islice(cycle(clusters), count)
            ]
            person = Person(env)
            acting = asyncio.create_task(person.act(downloads[::-1]))
            wanted = {job.id for job, _ in downloads}
            await slack.until(lambda: wanted <= env.announced.keys(), 10.0 * count + 60)
            took = time.perf_counter() - began
            cpu = cpu_seconds(env.bot.pid) - cpu
            await person.finish(acting)
            roots = [m for m in slack.state.messages(channel) if "thread_ts" not in m]
            posts = Counter(JOB_ID.findall(str(m["metadata"]))[0] for m in roots)
    limited = sum(call.status == 429 for call in slack.calls)
    return [
        Figure("all announced", took, "s"),
        Figure("all announced × one a second", took / count, goal=ONE_A_SECOND),
        Figure("announced more than once", sum(n > 1 for n in posts.values()), "downloads", 0),
        Figure("calls that Slack refused with 429", limited, "calls"),
        Figure("ack of the list, worst", 1000 * max(person.acks), "ms", ACK),
        Figure("submit to outcome, median", median(person.shown), "s"),
        Figure("submit to outcome, worst", max(person.shown), "s", SHOWN),
        Figure("submit to reply, worst", max(person.told), "s", SHOWN),
        Figure("CPU", 100 * cpu / took, "% of a core"),
    ]


class Person:
    """Types the list and cancels downloads, one after the other; all values are in seconds."""

    def __init__(self, env: BotEnvironment) -> None:
        self.env = env
        self.acks: list[float] = []
        self.shown: list[float] = []
        self.told: list[float] = []
        self._is_last = False

    async def act(self, downloads: list[tuple[RestoreJob, str]]) -> None:
        for job, place in downloads:
            if self._is_last:
                return
            ack = await self.env.slack.people.types(PERSON, channel_id(0), "/cancel-restore list")
            assert ack.ok, ack
            self.acks.append(ack.seconds)
            await self._cancel(job, place)
            await asyncio.sleep(ASK_EVERY)

    async def finish(self, acting: "asyncio.Task[None]") -> None:
        """Wait for the request that is under way, if one is."""
        self._is_last = True
        await acting

    async def _cancel(self, job: RestoreJob, place: str) -> None:
        env, before = self.env, len(self._mentions())
        view = await env.open_dialog(job, PERSON, place)
        began = time.perf_counter()
        await env.submit(view, PERSON)
        self.shown.append(await env.until_ended(job.id) - began)
        await env.slack.until(lambda: len(self._mentions()) > before, 600)
        self.told.append(time.perf_counter() - began)
        assert job.cancelled

    def _mentions(self) -> list[str]:
        user = self.env.slack.workspace.user(PERSON).id
        return [item.ts for item in self.env.slack.notifications if user in item.users]
