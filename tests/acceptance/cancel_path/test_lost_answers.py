"""Answers that are late, lost, unreadable or old: settled by a read, never by a blind DELETE."""

from typing import Any

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.environment import BotEnvironment

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


#: The login fails: the DELETE succeeds with a new handshake.
LOGIN: dict[str, dict[str, Any]] = {
    "the nonce has expired": {"kind": Kind.FORGET_NONCES},
    "a challenge that cannot be answered": {"kind": Kind.ODD_CHALLENGE},
}


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


async def test_failed_login_at_the_delete_leaves_the_client_usable(env: BotEnvironment) -> None:
    jobs = await ask_all(env, LOGIN)
    for name, job in jobs.items():
        assert (await env.wait_for_outcome(job)).state == "cancelled", name

    assert sorted(env.atlas.world.cancellations) == sorted(jobs.values())
