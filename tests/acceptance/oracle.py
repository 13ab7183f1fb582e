"""The rules of the campaigns that hold without a script, at the end of each acceptance test."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from bot.cancellation.events import EventName, Recorded
from bot.sandbox.atlas import PRIVATE_KEY
from bot.sandbox.atlas.example import CLIENT_SECRET
from bot.sandbox.slack.event_bus import ChangeEvent
from tests.acceptance.environment import BotEnvironment
from tests.tools.campaign.checks.audit_log import YES, of_audit_log, read_audit_log
from tests.tools.campaign.checks.logs import of_secrets
from tests.tools.campaign.checks.notices import of_chain
from tests.tools.campaign.checks.observations import Observations
from tests.tools.campaign.checks.requests import Found, of_copies, of_slack
from tests.tools.campaign.checks.rules import Rule
from tests.tools.campaign.worlds import OPEN, MessageTracker, different


async def violations(env: BotEnvironment[Any]) -> list[str]:
    """Return each violation as a sentence; the bots of `env` have ended."""
    events, breaks = await _read_audit_log(env)
    observations = Observations(
        scenarios=(),
        messages=_messages(env),
        slack=env.slack,
        atlas=env.atlas,
        events=events,
        breaks=breaks,
        secrets=[*_secrets(env)],
        posts_may_double=env.slack.world.settings.client_msg_id == "ignore",
        has_settled=False,
    )
    return [f"{rule}: {what}" for rule, what in _found(observations)]


def _found(observations: Observations) -> Iterator[Found]:
    yield from of_audit_log(observations)
    yield from of_secrets(observations)
    yield from of_copies(observations)
    yield from of_slack(observations)
    yield from _of_jobs(observations)
    for request, chain in observations.chains.items():
        yield from ((Rule.NOTICES, f"request {request}: {what}") for what in of_chain(chain))
        yield from ((Rule.APPROVED, f"request {request}: {what}") for what in _of_approvals(chain))
    for thread in observations.messages.threads.values():
        if (cards := len(different(thread.cards))) > 1:
            yield Rule.CARDS, f"request {thread.request} has {cards} cards"
        if set(thread.outcomes[:-1]) - {"failed", "kept"}:  # a keep may be void
            yield Rule.OUTCOMES, f"request {thread.request}: {thread.outcomes}"


def _of_approvals(chain: Sequence[Recorded]) -> Iterator[str]:
    """Check that a person's request has its approvals before each DELETE."""
    created, given = chain[0], set[str | None]()
    names = {event.event for event in chain}
    if not created.actor or EventName.ACTED_ALONE in names:
        return
    needed = json.loads(created.detail)["approvals_needed"]
    for event in chain:
        if event.event in YES and event.actor:
            given.add(event.actor)
        if event.event == EventName.RETRIED and not json.loads(event.detail)["approvals_kept"]:
            given.clear()
        if event.event == EventName.CANCEL_SENT and len(given) < needed:
            yield f"{len(given)} of {needed} had approved a DELETE"


def _of_jobs(observations: Observations) -> Iterator[Found]:
    """Check that one DELETE of a job took effect at most, and that its request says so."""
    calls = (call for several in observations.calls.values() for call in several if call.effect)
    effects = Counter(call.path.partition("?")[0].rpartition("/")[2] for call in calls)
    yield from ((Rule.EFFECTS, f"job {job}: {n}") for job, n in effects.items() if n > 1)
    known = {job.id: job for _, job in observations.atlas.world.jobs()}
    for job, threads in observations.messages.by_job.items():
        states = {thread.state for thread in threads if thread.settled}
        if job in known and "cancelled" in states and not known[job].cancelled:
            yield Rule.TRUTH, f"job {job} is said cancelled, and is not"
        if job in effects and states and not states & {"cancelled", "failed", *OPEN}:
            yield Rule.TRUTH, f"job {job}: we cancelled it, and it is said {states}"


def _messages(env: BotEnvironment[Any]) -> MessageTracker:
    messages = [message.snapshot() for message in env.slack.world.messages.all()]
    direct = {each["channel"] for each in messages if each["channel"].startswith("D")}
    tracker = MessageTracker({job.id for _, job in env.atlas.world.jobs()}, direct)
    for message in messages:
        tracker.on_change(ChangeEvent(kind="message", data={"message": message}, at=0.0))
    return tracker


def _secrets(env: BotEnvironment[Any]) -> Iterator[str]:
    app = env.slack.workspace.app
    yield from (app.bot_token, app.app_token, app.signing_secret, PRIVATE_KEY, CLIENT_SECRET)


async def _read_audit_log(env: BotEnvironment[Any]) -> tuple[list[Recorded], list[str]]:
    """Return the events, and the breaks of their hash chain; nothing where no bot began."""
    file = env.folder / "bot.db"
    url = getattr(env, "database_url", f"sqlite:///{file}" if file.exists() else "")
    return await read_audit_log(url) if url else ([], [])
