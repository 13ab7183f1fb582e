"""A reason is recorded and shown without the secrets that a person pasted into it."""

from pathlib import Path

from bot.cancellation.people import People
from bot.cancellation.policy import Policy
from bot.log_config import REMOVED
from bot.services.service import Submission
from bot.slack.card.views import PART_REMOVED
from tests.support.domain import ADA, RINA, an_ask
from tests.support.service import ServiceOnSqlite
from tests.unit.slack import samples
from tests.unit.slack.block_text import as_text
from tests.unit.slack.fake_slack import LINKS

APPROVERS = People(users=frozenset({ADA.id}))


async def test_secret_in_a_reason_is_removed_before_it_is_recorded(tmp_path: Path) -> None:
    service = ServiceOnSqlite(tmp_path, Policy(approvals=1, approvers=APPROVERS))
    submission = Submission(
        key="V1",
        person=RINA,
        ask=an_ask().with_typed(lambda _text: " see https://restore-1.example/x.tar.gz"),
        channel="C0OPS",
    )

    request = await service.service.submit(submission)
    denied = await service.service.deny(request.id, ADA, "xoxb-1-2-abc is in the link")

    assert request.ask == an_ask().with_typed(lambda _text: f"see {REMOVED}")
    assert denied.outcome.sentence == f"{REMOVED} is in the link"
    assert PART_REMOVED in as_text(samples.card_message(request, APPROVERS, LINKS, samples.JOB))
    await service.close()
