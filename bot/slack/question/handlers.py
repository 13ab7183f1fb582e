"""Takes the answers of people who are asked whether a download is theirs."""

from functools import partial
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.atlas import JobRef
from bot.cancellation.errors import CancellationError
from bot.cancellation.job import StarterAnswer
from bot.slack import ids
from bot.slack.dependencies import Dependencies
from bot.slack.errors import other_version, private_refusal
from bot.slack.grammar import parse_job_value

log = structlog.get_logger(__name__)


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def answer(given: StarterAnswer, ack: AsyncAck, body: dict[str, Any]) -> None:
        # The ack waits for the commit, so that an acknowledged answer is durable.
        await _answer(deps, given, body)
        await ack()

    app.action(ids.MINE)(partial(answer, StarterAnswer.MINE))
    app.action(ids.NOT_MINE)(partial(answer, StarterAnswer.NOT_MINE))


async def _answer(deps: Dependencies, given: StarterAnswer, body: dict[str, Any]) -> None:
    action, by = body["actions"][0], deps.interaction(body)
    value = str(action.get("value") or "")
    job = parse_job_value(value)
    if job is None or not (job.project and job.cluster and job.job_id):
        deps.reply(body, other_version("button"))
        return
    ref = JobRef(job.project, job.cluster, job.job_id)
    person = deps.directory.acting_by_id(by.actor)
    try:
        await deps.before_ack(deps.service.answer(ref, person, given))
    except CancellationError as error:
        log.info("answer refused", actor=person.id, why=type(error).__name__)
        message = private_refusal(error, str(action["action_id"]), value)
        deps.start(deps.replies.send(by, message), "answer refused", by)
