"""Each documented error of Atlas: at the dialog's read, at the runner's read, at the DELETE."""

from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.environment import BotEnvironment, Outcome


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
