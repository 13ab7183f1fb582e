"""Time from a signed command to its ack and to its dialog, compared with minimal Bolt apps."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tests.tools.bench.load_environment import (
    LoadEnvironment,
    Program,
    bolt_js,
    open_load_environment,
    peer,
    pinned,
)
from tests.tools.reporting.report import (
    Goal,
    Missing,
    Row,
    Table,
    in_turn,
    median,
    percentile,
    ratio,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from tests.tools.bench.load import Sent
    from tests.tools.bench.load_environment import Json
    from tests.tools.reporting.report import Cell, Scale

BOT, HELLO, BARE, JS = "cancel-restore", "Bolt for Python, hello", "aiohttp, bare", "bolt-js, hello"

#: Commands a second. At the first rate the bot is idle before each.
RATES = {"alone": 20.0, "50/s": 50.0, "200/s": 200.0}

ALONE, FASTEST = "alone", "200/s"

SCHEDULE = (
    "Commands are sent on a fixed schedule, independent of the answers; alone is 20 a second, to "
    "an idle process. p50 and p99 are of all rounds; the ratio is the median of the rounds."
)
COMPARED = (
    "For each command the bot opens a dialog, calls Slack and Atlas, and updates the dialog; "
    "the peers only return a fixed text."
)

#: How much longer than bolt-js an ack of an idle bot may take.
BOLT_JS_RATIO = 1.2

#: Seconds until every dialog of one load has its details.
SETTLE_TIMEOUT = 20.0


@dataclass(slots=True)
class LoadResult:
    """Results of one load, in milliseconds: `dialog` from the ack, the rest from the due time."""

    ack: list[float]
    dialog: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    details: list[float] = field(default_factory=list)


#: A round: the results by load.
Round = dict[str, LoadResult]


async def measure(scale: Scale) -> list[Table]:
    """Send the same loads to the bot and to each peer, in turn."""
    async with open_load_environment() as env:
        with ExitStack() as stack:
            peers, missing = started(stack)
            variants: dict[str, Callable[[], Awaitable[Round]]] = {
                BOT: partial(bot_round, env, scale)
            }
            for name, program in peers.items():
                port = int((await program.ready_line())["port"])
                variants[name] = partial(peer_round, env, scale, port)
            rounds = await in_turn(variants, scale.pick(2, 5), warm=scale.pick(0, 1))
    return [acks(rounds, missing), dialogs(rounds[BOT])]


def started(stack: ExitStack) -> tuple[dict[str, Program], str | None]:
    """Start the peers; the second value is why Bolt for JavaScript is missing, or None."""
    modules = {HELLO: "bolt_hello", BARE: "bare_aiohttp"}
    peers = {name: stack.enter_context(peer(module)) for name, module in modules.items()}
    try:
        return peers | {JS: stack.enter_context(bolt_js())}, None
    except Missing as error:
        return peers, str(error)


async def peer_round(env: LoadEnvironment, scale: Scale, port: int) -> Round:
    return {
        name: LoadResult(took(await load(env, scale, port, rate))) for name, rate in RATES.items()
    }


async def bot_round(env: LoadEnvironment, scale: Scale) -> Round:
    """Send each load once the dialogs of the one before have settled."""
    results = {}
    for name, rate in RATES.items():
        sent = await load(env, scale, env.bot.port, rate)
        results[name] = merge_results(sent, await env.wait_until_settled(sent, SETTLE_TIMEOUT))
    return results


async def load(env: LoadEnvironment, scale: Scale, port: int, rate: float) -> list[Sent]:
    """Send one load; raises `RuntimeError` where an ack is missing or bad."""
    seconds = scale.pick(1.0, 4.0)
    sent = await env.send_commands(port, rate, round(rate * seconds))
    if bad := [each.status for each in sent if each.status != 200]:
        raise RuntimeError(f"{len(bad)} of {len(sent)} commands had no good ack: {set(bad)}")
    return sent


def took(sent: Sequence[Sent]) -> list[float]:
    return [1000 * (each.acked - each.due) for each in sent]


def merge_results(sent: Sequence[Sent], noted: Json) -> LoadResult:
    """Join times of the load and of Slack; raises `RuntimeError` where a dialog is missing."""
    opened, updated = noted["opened"], noted["updated"]
    shown = {trigger for trigger, (_, can_be_cancelled) in updated.items() if can_be_cancelled}
    if lost := [each.trigger for each in sent if each.trigger not in {*opened} & shown]:
        raise RuntimeError(f"{len(lost)} of {len(sent)} commands got no dialog with details")
    return LoadResult(
        ack=took(sent),
        dialog=[1000 * (opened[each.trigger] - each.acked) for each in sent],
        opened=[1000 * (opened[each.trigger] - each.due) for each in sent],
        details=[1000 * (updated[each.trigger][0] - each.due) for each in sent],
    )


def acks(rounds: dict[str, list[Round]], missing: str | None) -> Table:
    rows = [Row(name, list(ack_cells(name, rounds))) for name in rounds]
    if missing:
        rows.append(Row(JS, missing=missing))
    worst = percentile(pooled(rounds[BOT], FASTEST, "ack"), 0.99)
    times_bolt_js = ratio_to_bolt_js(BOT, rounds)
    return Table(
        title="Ack: from the due time of the command to the end of its answer, in ms",
        columns=["alone p50", "p99", "× bolt-js", "50/s p50", "p99", "200/s p50", "p99"],
        rows=rows,
        goals=[
            Goal.at_most("ack p99 at 200/s on one core under 25 ms", worst, 25.0),
            Goal.at_most(f"ack alone ≤ {BOLT_JS_RATIO} × bolt-js", times_bolt_js, BOLT_JS_RATIO),
        ],
        notes=[SCHEDULE, COMPARED, pinned()],
    )


def ack_cells(name: str, rounds: dict[str, list[Round]]) -> Iterator[Cell]:
    for load_name in RATES:
        yield from halves(pooled(rounds[name], load_name, "ack"))
        if load_name == ALONE:
            yield ratio_to_bolt_js(name, rounds)


def dialogs(rounds: list[Round]) -> Table:
    parts = ("dialog", "opened", "details")
    rows = [
        Row(name, [each for part in parts for each in halves(pooled(rounds, name, part))])
        for name in RATES
    ]
    held = [percentile(pooled(rounds, name, "dialog"), 0.99) for name in RATES]
    return Table(
        title="Dialog: arrival of `views.open` at Slack, and of the details after it, in ms",
        first="load",
        columns=["from the ack p50", "p99", "from the command p50", "p99", "details p50", "p99"],
        rows=rows,
        goals=[Goal.at_most("views.open within 10 ms of the ack (p99, worst load)", max(held), 10)],
        notes=["Slack and Atlas on loopback answer immediately: this is the bot's own time."],
    )


def pooled(rounds: Sequence[Round], load_name: str, part: str) -> list[float]:
    return [value for each in rounds for value in getattr(each[load_name], part)]


def halves(values: Sequence[float]) -> tuple[float, float]:
    return median(values), percentile(values, 0.99)


def ratio_to_bolt_js(name: str, rounds: dict[str, list[Round]]) -> float | None:
    """Return the ratio of an ack alone to bolt-js's, or None without bolt-js."""
    if JS not in rounds:
        return None
    mine, other = ([median(each[ALONE].ack) for each in rounds[which]] for which in (name, JS))
    return ratio(mine, other)
