"""Each documented error of Atlas: at the dialog's read, at the runner's read, at the DELETE."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.environment import OUTCOME_TIMEOUT, BotEnvironment, Outcome, open_environment


@dataclass(frozen=True, kw_only=True)
class Error:
    """An answer of Atlas, its message, and the final state of a request that gets it."""

    fault: dict[str, Any] = field(default_factory=dict)
    status: int
    code: str = ""
    message: str
    state: str = "refused"

    def at(self, method: str, job: str, times: int | None = None) -> Fault:
        """Make it strike calls about one job."""
        values = {"kind": Kind.ERROR, "code": self.code, **self.fault}
        return Fault(method=method, path=job, times=times, **values)

    @property
    def terms(self) -> str:
        return f"Atlas answered HTTP {self.status}" + (f", `{self.code}`" if self.code else "")


KEY = "Atlas did not accept the bot's key"
TEMPORARY = "Atlas answered with an internal error"

#: Refusals: reported immediately.
REFUSALS = {
    "401 of a key that has no access": Error(
        fault={"kind": Kind.REFUSE_KEY}, status=401, message=KEY
    ),
    "403 of the access list": Error(
        fault={"values": {"address": "203.0.113.7"}},
        status=403,
        code="IP_ADDRESS_NOT_ON_ACCESS_LIST",
        message="may not be used from 203.0.113.7",
    ),
    "404 of the job": Error(
        status=404, code="RESTORE_JOB_NOT_FOUND", message="The cluster has no such download"
    ),
    "409 without a code": Error(fault={"status": 409}, status=409, message="Atlas"),
}

LONG_LIMIT = Error(
    fault={"kind": Kind.STATUS, "status": 429, "retry_after": 55},
    status=429,
    code="RATE_LIMITED_TOKEN_BUCKET",
    message="try again in 55 s",
    state="failed",
)

#: Temporary errors: retried, and reported within 30 s.
TROUBLES = {
    "429 with a long Retry-After": LONG_LIMIT,
    "429 without Retry-After": Error(
        fault={"kind": Kind.STATUS, "status": 429},
        status=429,
        code="RATE_LIMITED_TOKEN_BUCKET",
        message="Atlas limits how often it may be asked",
        state="failed",
    ),
    "500": Error(
        fault={"kind": Kind.STATUS, "status": 500},
        status=500,
        code="UNEXPECTED_ERROR",
        message=TEMPORARY,
        state="failed",
    ),
    "503": Error(
        fault={"kind": Kind.STATUS, "status": 503},
        status=503,
        code="SERVICE_UNAVAILABLE",
        message=TEMPORARY,
        state="failed",
    ),
    "405 of a maintenance": Error(
        status=405,
        code="WRITES_NOT_ALLOWED_DURING_APP_UPGRADES",
        message="Atlas is under maintenance",
        state="failed",
    ),
    "502 of a gateway": Error(
        fault={"kind": Kind.STATUS, "status": 502}, status=502, message=TEMPORARY, state="failed"
    ),
}


def check(ending: Outcome, error: Error) -> None:
    """The outcome has Atlas's own terms, on the card and in the thread."""
    assert ending.state == error.state
    for text in (ending.card, ending.reply):
        assert error.message in text
        assert error.terms in text
        assert "cancelled" not in text.lower()


async def test_refusal_of_the_first_read_is_shown_in_the_dialog(env: BotEnvironment) -> None:
    for name, error in REFUSALS.items():
        job = env.new_job()
        env.atlas.faults.add(error.at("GET", job[1]))
        view = await env.open_dialog(job)
        shown = env.slack.state.text_of(view)

        assert error.message in shown, name
        assert error.terms in shown, name
        assert not view["submit"], name


async def test_refusal_of_the_runners_read_refuses_the_request(env: BotEnvironment) -> None:
    for error in REFUSALS.values():
        job = env.new_job()
        await env.submit_request(job, error.at("GET", job[1]))

        check(await env.wait_for_outcome(job[1]), error)
    assert env.atlas.deletes() == []


async def test_refusal_of_the_delete_refuses_the_request(env: BotEnvironment) -> None:
    """The job is read once more, and one DELETE is all that is sent."""
    for name, error in REFUSALS.items():
        job = env.new_job()
        await env.submit_request(job, error.at("DELETE", job[1]))

        check(await env.wait_for_outcome(job[1]), error)
        wire = env.atlas_methods(job[1])
        key = error.fault.get("kind") is Kind.REFUSE_KEY  # asked once more, with a new handshake
        assert wire[-1] == "GET", name
        sent = [method for method in wire if method.startswith("DELETE")]
        assert sent == (["DELETE?", "DELETE?"] if key else ["DELETE"]), name
    assert env.atlas.world.cancellations == []


async def test_refusals_are_recognized_in_the_old_api_and_envelopes(tmp_path: Path) -> None:
    """An envelope has the status inside a 200: read from there, for reads and for the DELETE."""
    environ: dict[str, str | None] = {
        "MONGODB_ATLAS_API_VERSION": "v1.0",
        "MONGODB_ATLAS_ENVELOPE": "true",
    }
    async with open_environment(tmp_path, environ) as env:
        refusals = (REFUSALS["403 of the access list"], REFUSALS["404 of the job"])
        for error in (*refusals, TROUBLES["405 of a maintenance"]):
            for method in ("GET", "DELETE"):
                job = env.new_job()
                await env.submit_request(job, error.at(method, job[1]))

                check(await env.wait_for_outcome(job[1]), error)
        for fault in ({"kind": Kind.REFUSE_KEY}, {"kind": Kind.STATUS, "status": 503}):
            job = env.new_job()
            await env.submit_request(job, Fault(method="DELETE", path=job[1], **fault))

            assert (await env.wait_for_outcome(job[1])).state == "cancelled"


async def test_lasting_errors_are_reported_within_the_limit(env: BotEnvironment) -> None:
    """All of them concurrently: at the runner's read and at the DELETE, each on an own job."""
    struck = [(error, method) for error in TROUBLES.values() for method in ("GET", "DELETE")]
    jobs = []
    for error, method in struck:
        job = env.new_job()
        await env.submit_request(job, error.at(method, job[1]))
        jobs.append((job, error, method))
    people = [await ask_with_failing_read(env, *each) for each in FAILING_READS]
    began = time.monotonic()
    for job, error, method in jobs:
        ending = await env.wait_for_outcome(job[1], seconds=OUTCOME_TIMEOUT)

        check(ending, error)
        assert ("Nothing was done." in ending.reply) is (method == "GET")
        assert "[Try again]" in ending.card
    for user, error in people:
        shown = env.slack.state.text_of(await env.wait_for_dialog(user, seconds=OUTCOME_TIMEOUT))

        assert error.message in shown
        assert error.terms in shown
        assert "[Try again]" in shown
    assert time.monotonic() - began < OUTCOME_TIMEOUT
    assert env.atlas.world.cancellations == []


#: The people who wait for a dialog at the same time, and their errors.
FAILING_READS = (("rina", "500"), ("ada", "503"), ("abe", "429 without Retry-After"))


async def ask_with_failing_read(env: BotEnvironment, user: str, name: str) -> tuple[str, Error]:
    job, error = env.new_job(), TROUBLES[name]
    env.atlas.faults.add(error.at("GET", job[1]))
    await env.send_command(user, " ".join(job))
    return user, error
