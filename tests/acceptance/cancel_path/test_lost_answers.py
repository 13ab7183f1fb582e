"""Answers that are late, lost, unreadable or old: settled by a read, never by a blind DELETE."""

import time
from typing import Any

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.environment import OUTCOME_TIMEOUT, RUNNING, BotEnvironment

JOB = RUNNING[1]

#: The DELETE has its effect, and its answer is lost or cannot be read: one DELETE is all.
WITH_EFFECT: dict[str, dict[str, Any]] = {
    "cut after": {"kind": Kind.RESET_AFTER},
    "cut in the middle of the body": {"kind": Kind.CUT_BODY},
    "html": {"kind": Kind.HTML},
    "half a JSON": {"kind": Kind.TRUNCATED},
    "another shape": {"kind": Kind.WRONG_SHAPE},
    "nothing": {"kind": Kind.EMPTY},
    "500 although it worked": {"kind": Kind.STATUS, "status": 500, "effect": True},
    "502 although it worked": {"kind": Kind.STATUS, "status": 502, "effect": True},
    "old reads": {"kind": Kind.STALE_READ, "reads": 3},
}

#: The DELETE has no effect: after a read it is sent again.
WITHOUT_EFFECT: dict[str, dict[str, Any]] = {
    "cut before": {"kind": Kind.RESET_BEFORE},
    "500": {"kind": Kind.STATUS, "status": 500},
    "503": {"kind": Kind.STATUS, "status": 503, "retry_after": 1},
    "502": {"kind": Kind.STATUS, "status": 502},
    "an accepted one that did nothing in an odd way": {"kind": Kind.RESET_AFTER, "effect": False},
}

#: The login fails: the DELETE succeeds with a new handshake.
LOGIN: dict[str, dict[str, Any]] = {
    "the nonce has expired": {"kind": Kind.FORGET_NONCES},
    "a challenge that cannot be answered": {"kind": Kind.ODD_CHALLENGE},
}


def deletes(env: BotEnvironment) -> int:
    """Count the DELETEs that Atlas took up."""
    return len(env.atlas.deletes(JOB))


async def ask_all(env: BotEnvironment, faults: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Ask for as many new jobs, each with a fault of its DELETE; their ids by the fault's name."""
    jobs = {}
    for name, fault in faults.items():
        job = env.new_job()
        await env.submit_request(job, Fault(method="DELETE", path=job[1], **fault))
        jobs[name] = job[1]
    return jobs


async def test_delete_that_took_effect_is_not_repeated(env: BotEnvironment) -> None:
    for name, job in (await ask_all(env, WITH_EFFECT)).items():
        ending = await env.wait_for_outcome(job)

        assert ending.state == "cancelled", name
        assert env.atlas.world.job(job).state == "cancelled", name
        assert len(env.atlas.deletes(job)) == 1, name


async def test_delete_without_effect_is_repeated_after_a_read(env: BotEnvironment) -> None:
    for name, job in (await ask_all(env, WITHOUT_EFFECT)).items():
        ending = await env.wait_for_outcome(job)

        assert ending.state == "cancelled", name
        methods = [method for method in env.atlas_methods(job) if not method.endswith("?")]
        assert methods == ["GET", "GET", "DELETE", "GET", "DELETE", "GET"], name


async def test_failed_login_at_the_delete_leaves_the_client_usable(env: BotEnvironment) -> None:
    jobs = await ask_all(env, LOGIN)
    for name, job in jobs.items():
        assert (await env.wait_for_outcome(job)).state == "cancelled", name

    assert sorted(env.atlas.world.cancellations) == sorted(jobs.values())


async def test_lasting_fault_is_reported_as_failed_within_the_limit(env: BotEnvironment) -> None:
    """Each on a job of its own, concurrently: no connection, no answer, no readable answer."""
    lasting: dict[str, tuple[str, Kind]] = {
        "The connection to Atlas broke": ("DELETE", Kind.RESET_BEFORE),
        "Atlas did not answer in time": ("DELETE", Kind.HANG),
        "but still shows the download as in progress": ("DELETE", Kind.STALE_READ),
        "Atlas's answer could not be read": ("GET", Kind.HTML),
        "The connection to Atlas broke before": ("GET", Kind.CUT_BODY),
    }
    jobs = []
    for message, (method, kind) in lasting.items():
        job = env.new_job()
        reads = {"reads": 1000} if kind is Kind.STALE_READ else {}
        await env.submit_request(
            job, Fault(kind=kind, method=method, path=job[1], times=None, **reads)
        )
        jobs.append((job[1], message, method))
    # This one took effect, and only the read after 8 s shows it.
    await env.submit_request(RUNNING, Fault(kind=Kind.HANG_AFTER, method="DELETE", path=JOB))
    began = time.monotonic()
    for job_id, message, method in jobs:
        ending = await env.wait_for_outcome(job_id, seconds=OUTCOME_TIMEOUT)

        assert ending.state == "failed"
        for text in (ending.card, ending.reply):
            assert message in text
            assert "cancelled" not in text.lower()
        assert method == "DELETE" or len(env.atlas.deletes(job_id)) == 0
    assert (await env.wait_for_outcome(JOB)).state == "cancelled"
    assert env.atlas.world.cancellations.count(JOB) == 1
    assert time.monotonic() - began < OUTCOME_TIMEOUT


async def test_delete_without_a_readable_result_is_reported_as_unknown(env: BotEnvironment) -> None:
    """The DELETE worked, and from then on Atlas answers nothing."""
    view = await env.open_dialog(RUNNING)
    env.atlas.recorder.subscribe(
        lambda call: (
            env.atlas.faults.add(Fault(kind=Kind.STATUS, status=503, method="GET", times=None))
            if call.method == "DELETE"
            else None
        )
    )
    await env.slack.people.submits("rina", view, {"reason": ""})
    ending = await env.wait_for_outcome(JOB, seconds=OUTCOME_TIMEOUT)

    assert ending.state == "failed"
    assert "The cancellation was sent, but the job could not be read again" in ending.reply
    assert "HTTP 503" in ending.reply
    assert "cancelled" not in ending.reply.lower()
    assert deletes(env) == 1

    env.atlas.faults.clear()
    await env.slack.people.clicks("rina", ending.message, "cancel_restore_retry")
    settled = await env.slack.until(
        lambda: (found := env.outcome(JOB)) and found.state == "cancelled"
    )
    assert settled
    assert deletes(env) == 1
