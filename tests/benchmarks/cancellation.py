"""GET, DELETE, GET on a warm connection against Apache's digest login, over TLS at 40 ms.
Without atlasapi, Atlas's old Python client: its last release is of 2023 and needs nose, and it
opens a connection and logs in again for each call, as curl does.

Beside the bot's gateway and canceller: `curl --digest` (a process a call, as in Atlas's
documentation), httpx and requests with one client and one digest login. Then the whole path of
`serve`, with 40 ms to Slack and Atlas: from the submit until Slack shows the outcome, beside the
round trips that it needs: half of one for the submission, three to Atlas, half of one for the
outcome.
"""

import asyncio
import importlib
import importlib.util
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from bot.atlas import (
    AtlasCanceller,
    AtlasGateway,
    AtlasHttp,
    AtlasReader,
    CallLimiter,
    Priority,
)
from tests.benchmarks.environment import (
    BotEnvironment,
    Options,
    new_atlas,
    new_slack,
    open_bot,
)
from tests.benchmarks.results import Figure, median, ratio
from tests.support.apache import KEY, REF, Apache, running_apache
from tests.support.proxy import delayed
from tests.support.required_programs import needs

Work: TypeAlias = Callable[[], Awaitable[object]]
#: Does something, and returns the seconds that it took.
Timed: TypeAlias = Callable[[], Awaitable[float]]

ROUND_TRIP = 0.04  #: seconds, to Slack and to Atlas
GOAL_CURL, GOAL_SUBMIT = 0.3, 1.25
METHODS = ("GET", "DELETE", "GET")
PATH = f"/api/atlas/v2/groups/{REF.project_id}/clusters/{REF.cluster_name}/backup/restoreJobs/"
ACCEPT = {"Accept": "application/vnd.atlas.2023-01-01+json"}
SECRET = KEY.secret.get_secret_value()
#: Seconds for which a person reads the dialog; each channel gets less than a message a second.
READING = 2.0


async def measure(options: Options) -> list[Figure]:
    return [*await _atlas_alone(options), *await _whole_path(options)]


async def _in_turn(calls: Mapping[str, Timed], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each call, in rounds, after one that warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            took = await call()
            if number:
                seconds[name].append(took)
    return seconds


async def _timed(work: Work) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def _atlas_alone(options: Options) -> list[Figure]:
    async with AsyncExitStack() as stack:
        program = str(needs("apache2", "apache2"))
        apache = stack.enter_context(running_apache(program, lifetime=3600, tls=True))
        port = await stack.enter_async_context(delayed(apache.port, ROUND_TRIP))
        url = f"https://127.0.0.1:{port}"
        trust = ssl.create_default_context(cafile=apache.certificate)
        calls: dict[str, Work] = {"bot": await stack.enter_async_context(_bot(url, trust))}
        calls["curl --digest"] = partial(_curl, url, apache)
        calls["httpx"] = await stack.enter_async_context(_httpx(url, trust))
        if importlib.util.find_spec("requests"):
            calls["requests"] = stack.enter_context(_requests(url, apache))
        timed = {name: partial(_timed, work) for name, work in calls.items()}
        seconds = await _in_turn(timed, options.pick(1, 15, 60))
    figures = [
        Figure(
            f"bot × {peer}",
            ratio(seconds["bot"], seconds[peer]),
            goal=GOAL_CURL if "curl" in peer else None,
        )
        for peer in seconds
        if peer != "bot"
    ]
    times = [
        Figure(f"{name}, three calls", 1000 * median(given), "ms")
        for name, given in seconds.items()
    ]
    return figures + times


@asynccontextmanager
async def _bot(url: str, trust: ssl.SSLContext) -> AsyncIterator[Work]:
    transport = httpx.AsyncHTTPTransport(verify=trust)
    async with AtlasHttp(KEY, base_url=url, transport=transport) as http:
        gateway = AtlasGateway(REF.project_id, AtlasReader(http), CallLimiter())
        canceller = AtlasCanceller(http)

        async def cancel() -> None:
            await gateway.job(REF, Priority.CANCEL)
            await canceller.cancel_restore_job(REF)
            await gateway.job(REF, Priority.CANCEL)

        yield cancel


async def _curl(url: str, apache: Apache) -> None:
    for method in METHODS:
        process = await asyncio.create_subprocess_exec(
            *("curl", "--silent", "--fail", "--cacert", str(apache.certificate)),
            *("--digest", "--user", f"{KEY.key_id}:{SECRET}", "--request", method),
            *("--header", f"Accept: {ACCEPT['Accept']}", url + PATH + REF.job_id),
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert await process.wait() == 0


@asynccontextmanager
async def _httpx(url: str, trust: ssl.SSLContext) -> AsyncIterator[Work]:
    auth = httpx.DigestAuth(KEY.key_id, SECRET)
    async with httpx.AsyncClient(auth=auth, verify=trust, trust_env=False) as client:

        async def cancel() -> None:
            for method in METHODS:
                answer = await client.request(method, url + PATH + REF.job_id, headers=ACCEPT)
                answer.raise_for_status()

        yield cancel


@contextmanager
def _requests(url: str, apache: Apache) -> Iterator[Work]:
    requests: Any = importlib.import_module("requests")
    with requests.Session() as session:
        session.auth = requests.auth.HTTPDigestAuth(KEY.key_id, SECRET)
        session.verify, session.trust_env = str(apache.certificate), False

        def cancel() -> None:
            for method in METHODS:
                answer = session.request(method, url + PATH + REF.job_id, headers=ACCEPT)
                answer.raise_for_status()

        yield partial(asyncio.to_thread, cancel)


async def _whole_path(options: Options) -> list[Figure]:
    figures, calls = [], dict[str, Timed]()
    async with AsyncExitStack() as stack:
        for name, tree in options.editions().items():
            opened = await _open_path(stack, tree)
            calls |= {f"{name} {part}": call for part, call in opened.items()}
        seconds = await _in_turn(calls, options.pick(1, 15, 60))
    for name in options.editions():
        trips = zip(seconds[f"{name} Slack"], seconds[f"{name} Atlas"], strict=True)
        least = [slack + 3 * atlas for slack, atlas in trips]
        took = seconds[f"{name} submit"]
        goal = GOAL_SUBMIT if name == "bot" else None
        figures += [
            Figure(f"{name}, submit to outcome × its round trips", ratio(took, least), goal=goal),
            Figure(f"{name}, submit to outcome", 1000 * median(took), "ms"),
        ]
    return figures


async def _open_path(stack: AsyncExitStack, tree: Path | None) -> dict[str, Timed]:
    """Start a bot that reaches its fake servers through proxies, and return what is timed."""
    atlas = await stack.enter_async_context(new_atlas())
    slack = await stack.enter_async_context(new_slack())
    to_atlas = await stack.enter_async_context(delayed(atlas.port, ROUND_TRIP))
    slack_port = int(slack.base_url.rpartition(":")[2])
    to_slack = await stack.enter_async_context(delayed(slack_port, ROUND_TRIP))
    # Slack returns the address of the WebSocket, which goes through the proxy too.
    slack.world.base_url = f"http://127.0.0.1:{to_slack}"
    base_url = {"MONGODB_ATLAS_BASE_URL": f"http://127.0.0.1:{to_atlas}"}
    env = await stack.enter_async_context(open_bot(tree, slack, atlas, **base_url))
    # The shortest answer of each fake server.
    return {
        "submit": partial(_submit, env),
        "Slack": partial(_timed, await _exchange(stack, to_slack, "/api/api.test")),
        "Atlas": partial(_timed, await _exchange(stack, to_atlas, "/")),
    }


async def _submit(env: BotEnvironment) -> float:
    """Cancel one download; return the seconds from the submit until its message says so."""
    job = env.start_download()
    view = await env.open_dialog(job)
    await asyncio.sleep(READING)
    began = time.perf_counter()
    await env.submit(view)
    ended = await env.until_ended(job.id)
    assert job.cancelled
    return ended - began


async def _exchange(stack: AsyncExitStack, port: int, path: str) -> Work:
    """Connect, and return a function that sends one GET over the raw connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)

    async def exchange() -> None:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))

    return exchange
