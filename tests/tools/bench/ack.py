"""Time from a signed command to its ack and to its dialog, compared with a minimal Bolt app."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tests.tools.bench.load_environment import open_load_environment, peer, pinned
from tests.tools.reporting.report import Goal, Row, Table, in_turn, median, percentile, ratio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.tools.bench.load import Sent
    from tests.tools.bench.load_environment import Json, LoadEnvironment
    from tests.tools.reporting.report import Scale

BOT, HELLO = "cancel-restore", "Bolt for Python, hello"

#: Commands a second: the bot is idle before each.
RATE = 20.0

#: How much longer than Bolt's an ack may take.
LIMIT = 1.5

NOTES = (
    f"{RATE:g} commands a second on a fixed schedule, independent of the answers.",
    "p50 and p99 are of all rounds; the ratio is the median of the rounds.",
    "For each command the bot opens a dialog, calls Slack and Atlas, and updates the dialog.",
    "The peer only returns a fixed text. Slack and Atlas on loopback answer immediately.",
)

#: Seconds until every dialog has its details.
SETTLE_TIMEOUT = 20.0


@dataclass(slots=True)
class Round:
    """Times in milliseconds: `dialog` from the ack, the others from the due time."""

    ack: list[float]
    dialog: list[float] = field(default_factory=list)
    details: list[float] = field(default_factory=list)


async def measure(scale: Scale) -> list[Table]:
    """Send the same load to the bot and to its peer, in turn."""
    async with open_load_environment() as env:
        with ExitStack() as stack:
            variants: dict[str, Callable[[], Awaitable[Round]]] = {
                BOT: partial(bot_round, env, scale)
            }
            program = stack.enter_context(peer("bolt_hello"))
            port = int((await program.ready_line())["port"])
            variants[HELLO] = partial(peer_round, env, scale, port)
            rounds = await in_turn(variants, scale.pick(2, 5), warm=scale.pick(0, 1))
    return [acks(rounds), dialogs(rounds[BOT])]


async def peer_round(env: LoadEnvironment, scale: Scale, port: int) -> Round:
    return Round(took(await load(env, scale, port)))


async def bot_round(env: LoadEnvironment, scale: Scale) -> Round:
    sent = await load(env, scale, env.bot.port)
    return merge_results(sent, await env.wait_until_settled(sent, SETTLE_TIMEOUT))


async def load(env: LoadEnvironment, scale: Scale, port: int) -> list[Sent]:
    """Send one load; raises `RuntimeError` where an ack is missing or bad."""
    sent = await env.send_commands(port, RATE, round(RATE * scale.pick(1.0, 4.0)))
    if bad := [each.status for each in sent if each.status != 200]:
        raise RuntimeError(f"{len(bad)} of {len(sent)} commands had no good ack: {set(bad)}")
    return sent


def took(sent: Sequence[Sent]) -> list[float]:
    return [1000 * (each.acked - each.due) for each in sent]


def merge_results(sent: Sequence[Sent], noted: Json) -> Round:
    """Join times of the load and of Slack; raises `RuntimeError` where a dialog is missing."""
    opened, updated = noted["opened"], noted["updated"]
    shown = {trigger for trigger, (_, can_be_cancelled) in updated.items() if can_be_cancelled}
    if lost := [each.trigger for each in sent if each.trigger not in {*opened} & shown]:
        raise RuntimeError(f"{len(lost)} of {len(sent)} commands got no dialog with details")
    return Round(
        ack=took(sent),
        dialog=[1000 * (opened[each.trigger] - each.acked) for each in sent],
        details=[1000 * (updated[each.trigger][0] - each.due) for each in sent],
    )


def acks(rounds: dict[str, list[Round]]) -> Table:
    medians = {name: [median(each.ack) for each in given] for name, given in rounds.items()}
    ratios = {name: ratio(given, medians[HELLO]) for name, given in medians.items()}
    pooled = {name: [ms for each in given for ms in each.ack] for name, given in rounds.items()}
    return Table(
        title="Ack: from the due time of the command to the end of its answer, in ms",
        columns=["p50", "p99", "× Bolt"],
        rows=[Row(name, [*halves(pooled[name]), ratios[name]]) for name in rounds],
        goals=[Goal.at_most(f"ack ≤ {LIMIT} × Bolt for Python's hello", ratios[BOT], LIMIT)],
        notes=[*NOTES, pinned()],
    )


def dialogs(rounds: list[Round]) -> Table:
    opened = [ms for each in rounds for ms in each.dialog]
    details = [ms for each in rounds for ms in each.details]
    rows = [
        Row("`views.open`, from the ack", halves(opened)),
        Row("details, from the command", halves(details)),
    ]
    return Table(title="Dialog: arrival at Slack, in ms", columns=["p50", "p99"], rows=rows)


def halves(values: Sequence[float]) -> tuple[float, float]:
    return median(values), percentile(values, 0.99)
