"""Answers that are late, lost, unreadable or old: settled by a look, never by a blind DELETE."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.house import RUNNING, TOLD_WITHIN, House

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

#: The DELETE has no effect: after a look it is sent again.
WITHOUT_EFFECT: dict[str, dict[str, Any]] = {
    "cut before": {"kind": Kind.RESET_BEFORE},
    "500": {"kind": Kind.STATUS, "status": 500},
    "503": {"kind": Kind.STATUS, "status": 503, "retry_after": 1},
    "502": {"kind": Kind.STATUS, "status": 502},
    "an accepted one that did nothing in an odd way": {"kind": Kind.RESET_AFTER, "effect": False},
}

#: The login is in the way: the DELETE goes through with a new handshake.
LOGIN: dict[str, dict[str, Any]] = {
    "the nonce has expired": {"kind": Kind.FORGET_NONCES},
    "a challenge that nobody can answer": {"kind": Kind.ODD_CHALLENGE},
}


def deletes(house: House) -> int:
    """Count the DELETEs that Atlas took up."""
    return len(house.atlas.deletes(JOB))


async def ask_all(house: House, faults: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Ask for as many new jobs, each with a fault of its DELETE; their ids by the fault's name."""
    jobs = {}
    for name, fault in faults.items():
        job = house.new_job()
        await house.asks(job, Fault(method="DELETE", path=job[1], **fault))
        jobs[name] = job[1]
    return jobs


async def test_a_delete_that_worked_is_not_sent_again(house: House) -> None:
    for name, job in (await ask_all(house, WITH_EFFECT)).items():
        ending = await house.ends(job)

        assert ending.state == "cancelled", name
        assert house.atlas.world.job(job).state == "cancelled", name
        assert len(house.atlas.deletes(job)) == 1, name


async def test_a_delete_without_effect_is_sent_again_after_a_look(house: House) -> None:
    for name, job in (await ask_all(house, WITHOUT_EFFECT)).items():
        ending = await house.ends(job)

        assert ending.state == "cancelled", name
        met = [method for method in house.wire(job) if not method.endswith("?")]
        assert met == ["GET", "GET", "DELETE", "GET", "DELETE", "GET"], name


async def test_a_login_in_the_way_of_the_delete_poisons_nothing(house: House) -> None:
    jobs = await ask_all(house, LOGIN)
    for name, job in jobs.items():
        assert (await house.ends(job)).state == "cancelled", name

    assert sorted(house.atlas.world.cancellations) == sorted(jobs.values())


@pytest.mark.parametrize(
    "kind", [Kind.HTML, Kind.TRUNCATED, Kind.WRONG_SHAPE, Kind.EMPTY, Kind.RESET_BEFORE]
)
async def test_one_unreadable_look_is_looked_at_again(house: House, kind: Kind) -> None:
    """In the dialog, before the DELETE, and after it."""
    house.atlas.faults.add(Fault(kind=kind, method="GET"))
    view = await house.looks_up(RUNNING)
    house.atlas.faults.add(
        Fault(kind=kind, method="GET"),
        Fault(kind=Kind.HTML, method="DELETE"),
    )
    await house.slack.people.submits("rina", view, {"reason": ""})

    assert (await house.ends(JOB)).state == "cancelled"
    assert deletes(house) == 1


async def test_what_lasts_is_told_in_its_time_and_never_as_cancelled(house: House) -> None:
    """Each on a job of its own, all at once: no connection, no answer, no readable answer."""
    lasting: dict[str, tuple[str, Kind]] = {
        "The connection to Atlas broke": ("DELETE", Kind.RESET_BEFORE),
        "Atlas did not answer in time": ("DELETE", Kind.HANG),
        "but still shows the job as in progress": ("DELETE", Kind.STALE_READ),
        "Atlas's answer could not be read": ("GET", Kind.HTML),
        "The connection to Atlas broke before": ("GET", Kind.CUT_BODY),
    }
    jobs = []
    for says, (method, kind) in lasting.items():
        job = house.new_job()
        reads = {"reads": 1000} if kind is Kind.STALE_READ else {}
        await house.asks(job, Fault(kind=kind, method=method, path=job[1], times=None, **reads))
        jobs.append((job[1], says, method))
    # This one took effect, and only the look after 8 s tells.
    await house.asks(RUNNING, Fault(kind=Kind.HANG_AFTER, method="DELETE", path=JOB))
    began = time.monotonic()
    for job_id, says, method in jobs:
        ending = await house.ends(job_id, seconds=TOLD_WITHIN)

        assert ending.state == "failed"
        for text in (ending.card, ending.reply):
            assert says in text
            assert "cancelled" not in text.lower()
        assert method == "DELETE" or len(house.atlas.deletes(job_id)) == 0
    assert (await house.ends(JOB)).state == "cancelled"
    assert house.atlas.world.cancellations.count(JOB) == 1
    assert time.monotonic() - began < TOLD_WITHIN


async def test_a_cancellation_that_shows_nowhere_is_told_as_half_known(house: House) -> None:
    """The DELETE worked, and from then on Atlas answers nothing."""
    view = await house.looks_up(RUNNING)
    house.atlas.recorder.subscribe(
        lambda call: (
            house.atlas.faults.add(Fault(kind=Kind.STATUS, status=503, method="GET", times=None))
            if call.method == "DELETE"
            else None
        )
    )
    await house.slack.people.submits("rina", view, {"reason": ""})
    ending = await house.ends(JOB, seconds=TOLD_WITHIN)

    assert ending.state == "failed"
    assert "The cancellation was sent, but the job could not be read again" in ending.reply
    assert "HTTP 503" in ending.reply
    assert "cancelled" not in ending.reply.lower()
    assert deletes(house) == 1

    house.atlas.faults.clear()
    await house.slack.people.clicks("rina", ending.message, "cancel_restore_retry")
    settled = await house.slack.until(
        lambda: (found := house.outcome(JOB)) and found.state == "cancelled"
    )
    assert settled
    assert deletes(house) == 1
