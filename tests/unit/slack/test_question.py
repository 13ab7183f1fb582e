"""The answers of the person who is asked whether a download is theirs, over the whole app."""

from dataclasses import replace
from typing import Any

import pytest

from bot.atlas import JobState
from bot.cancellation.events import EventName
from bot.cancellation.job import Job, StarterAnswer
from bot.cancellation.lifecycle import Card, State
from bot.cancellation.people import EVERYONE
from bot.cancellation.policy import Mode, Policies, Policy
from bot.cancellation.posts import JobPost, PostKind
from bot.services.projects import Project, Projects
from bot.slack import ids, job_lines
from bot.slack.card import replies
from bot.slack.grammar import job_value
from bot.slack.outbox.messages import MessageBuilder, Unneeded
from bot.slack.plain_text import as_text
from bot.storage.job_store import change
from bot.storage.unit_of_work import UnitOfWork
from tests.support.domain import ADA, PROJECT_ID, RINA, job_ref
from tests.support.fake_atlas import FakeAtlas
from tests.unit.slack import payloads, samples
from tests.unit.slack.fake_slack import LINKS
from tests.unit.slack.harness import BoltHarness, NewBolt

VALUE = job_value(job_ref())
(UNCERTAIN,) = [each for each in samples.STARTERS if each.starter and each.starter.others]
CANCELLING = samples.request(requester="", state=State.CANCELLING)
PLACE = Card(channel="D0RINA", ts="1.1")


@pytest.fixture
async def bolt(new_bolt: NewBolt) -> BoltHarness:
    """The app, after Rina was asked about a download."""
    bolt = new_bolt()
    await change_job(bolt, version=1, asked=RINA.id, started_by=samples.JOB.started_by)
    return bolt


async def change_job(bolt: BoltHarness, **changes: Any) -> None:
    def record(uow: UnitOfWork) -> None:
        change(uow, job_ref(), lambda job: replace(job, **changes))

    await bolt.service.requests._write(record)


async def job(bolt: BoltHarness) -> Job:
    return (await bolt.service.jobs.store.get([job_ref()]))[job_ref()]


@pytest.mark.parametrize(
    ("action", "answer"),
    [(ids.MINE, StarterAnswer.MINE), (ids.NOT_MINE, StarterAnswer.NOT_MINE)],
)
async def test_answer_of_the_asked_person_is_recorded_without_a_reply(
    bolt: BoltHarness, action: str, answer: StarterAnswer
) -> None:
    await bolt.send(payloads.click(action, VALUE, user=RINA.id, channel="D0RINA"))

    assert ((await job(bolt)).answer, bolt.private) == (answer, [])


async def test_second_answer_is_told_that_the_first_counts(bolt: BoltHarness) -> None:
    await bolt.send(payloads.click(ids.NOT_MINE, VALUE, user=RINA.id))
    await bolt.send(payloads.click(ids.MINE, VALUE, user=RINA.id))

    assert (await job(bolt)).answer is StarterAnswer.NOT_MINE
    (told,) = bolt.private
    assert "You answered already that it was not you" in told
    assert "If that is wrong, tell the people who may cancel the download." in told


async def test_answer_after_the_end_is_told_what_to_do(bolt: BoltHarness) -> None:
    await change_job(bolt, state=JobState.EXPIRED)
    await bolt.send(payloads.click(ids.NOT_MINE, VALUE, user=RINA.id))

    assert (await job(bolt)).answer is None
    (told,) = bolt.private
    assert "tell your security team" in told


@pytest.mark.parametrize(
    ("value", "click", "sentence"),
    [
        (VALUE, {"user": ADA.id}, "Only the person whom the bot asked"),
        (VALUE, {"user": RINA.id, "team": "T0OTHER"}, "Only the person whom the bot asked"),
        (f"{PROJECT_ID} prod-eu {'a' * 24}", {"user": RINA.id}, "Only the person whom the bot"),
        ("nonsense", {"user": RINA.id}, "from another version of the bot"),
    ],
    ids=["another person", "another workspace", "another job", "no job"],
)
async def test_click_that_does_not_count_changes_nothing_and_says_why(
    bolt: BoltHarness, value: str, click: dict[str, str], sentence: str
) -> None:
    await bolt.send(payloads.click(ids.NOT_MINE, value, **click))

    assert (await job(bolt)).answer is None
    (told,) = bolt.private
    assert sentence in told


@pytest.mark.parametrize(
    ("account", "user", "counts"),
    [
        ({}, RINA.id, True),
        ({"enterprise_user": {"id": "W0RINA"}}, "W0RINA", True),
        ({"is_restricted": True}, RINA.id, False),
        ({"deleted": True}, RINA.id, False),
    ],
    ids=["member", "other id of the member", "guest", "deactivated"],
)
async def test_asked_person_may_answer_only_as_a_full_member_at_the_click_whom_slack_confirms(
    bolt: BoltHarness, account: dict[str, Any], user: str, *, counts: bool
) -> None:
    read = {"user": {"id": RINA.id, "team_id": LINKS.identity.team, **account}}
    bolt.slack.respond("users.info", "internal_error", "ratelimited", read)
    await bolt.send(payloads.click(ids.NOT_MINE, VALUE, user=user))

    assert ((await job(bolt)).answer is StarterAnswer.NOT_MINE) is counts
    waiting, *refused = bolt.private
    assert "Slack does not say at the moment who may do this" in waiting
    assert [each[:22] for each in refused] == ([] if counts else ["Only the person whom t"])


def built(
    job: Job, kind: PostKind = PostKind.QUESTION, *, may_cancel: bool = True, **changes: Any
) -> dict[str, Any]:
    policy = Policy(watch_channel="C0WATCH", approvers=EVERYONE, quarantine=Mode.ENFORCE)
    project = Project(
        id=PROJECT_ID,
        name="shop-prod",
        policies=Policies(policy),
        atlas=FakeAtlas({}),
        key_may_cancel=may_cancel,
    )
    values: dict[str, Any] = {"id": 1, "client_msg_id": "x", "attempts": 1, "recipient": RINA.id}
    post = JobPost(kind=kind, job=job, **values | changes)
    message = MessageBuilder(LINKS, Projects([project])).build(post)
    return {"channel": message.channel, "ts": message.ts, **message.content}


def buttons(message: dict[str, Any]) -> list[str]:
    blocks = (block for block in message["blocks"] if block["type"] == "actions")
    return [each["action_id"] for block in blocks for each in block["elements"]]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [ids.MINE, ids.NOT_MINE]),
        ({"answer": StarterAnswer.MINE}, []),
        ({"answer": StarterAnswer.NOT_MINE}, [ids.OPEN]),
        ({"answer": StarterAnswer.NOT_MINE, "request": CANCELLING}, []),
        ({"state": JobState.EXPIRED}, []),
        ({"started_by": UNCERTAIN}, []),
        ({"answer": StarterAnswer.NOT_MINE, "state": JobState.CANCELLED}, []),
    ],
    ids=["asked", "mine", "not mine", "being cancelled", "ended", "uncertain", "cancelled"],
)
def test_buttons_of_the_question(changes: dict[str, Any], expected: list[str]) -> None:
    message = built(samples.watched_job(asked=RINA.id, **changes), place=PLACE)

    assert (buttons(message), message["ts"]) == (expected, PLACE.ts)


def test_question_promises_no_cancellation_that_a_reload_may_rule_out() -> None:
    """A question that was sent stays as it is; the click does what the policy says then."""
    held = samples.request(requester="", state=State.QUARANTINED)
    texts = [
        str(built(samples.watched_job(asked=RINA.id, request=held), may_cancel=may)["blocks"])
        for may in (True, False)
    ]

    assert texts[0] == texts[1]
    assert "If the rules allow it, the bot asks Atlas to cancel the download at once" in texts[0]


def test_question_whose_blocks_slack_refuses_has_the_command_that_cancels() -> None:
    message = built(samples.watched_job(asked=RINA.id))

    last = as_text(message["blocks"]).splitlines()[-1]
    assert last == f"It was not me: `/cancel-restore {VALUE}`"


@pytest.mark.parametrize("changes", [{"state": JobState.EXPIRED}, {"started_by": UNCERTAIN}])
def test_question_that_needs_no_answer_any_more_is_not_posted(changes: dict[str, Any]) -> None:
    with pytest.raises(Unneeded):
        built(samples.watched_job(asked=RINA.id, **changes))


def test_alarm_is_in_the_thread_of_the_announcement_with_the_button() -> None:
    place = Card(channel="C0WATCH", ts="2.2")
    disowned = samples.watched_job(asked=RINA.id, answer=StarterAnswer.NOT_MINE, announcement=place)
    message = built(disowned, PostKind.ALARM, recipient=None)

    assert (message["channel"], message["thread_ts"]) == ("C0WATCH", "2.2")
    assert (buttons(message), "<@U0RINA>" in message["text"]) == ([ids.OPEN], True)


@pytest.mark.parametrize(
    ("changes", "call"),
    [
        ({}, f"{job_lines.IS_CANCELLED} For your information: "),
        ({"state": JobState.CANCELLED}, "The download has ended. For your information: "),
        ({"state": JobState.GONE}, f"{job_lines.IS_CANCELLED} For your information: "),
    ],
)
def test_alarm_about_a_download_that_the_bot_cancels_asks_no_one_to_do_it(
    changes: dict[str, Any], call: str
) -> None:
    disowned = {"asked": RINA.id, "answer": StarterAnswer.NOT_MINE, "request": CANCELLING}
    job = samples.watched_job(**disowned | changes)
    alarm = built(job, PostKind.ALARM, recipient=ADA.id)
    own = samples.post(EventName.DOWNLOAD_DISOWNED, CANCELLING, actor=RINA.id, job=job)
    reply = replies.message(own, Policy(approvers=EVERYONE))

    assert (buttons(alarm), call in alarm["text"]) == ([], True)
    assert call in reply["text"]


def test_failed_request_for_a_download_that_atlas_does_not_list_can_be_tried_again() -> None:
    failed = samples.request(state=State.FAILED)
    card = samples.card_message(failed, None, LINKS, samples.watched_job(state=JobState.GONE))

    assert ids.RETRY in buttons(card)


@pytest.mark.parametrize("answer", StarterAnswer)
def test_answer_stands_in_the_second_line_of_announcement_and_cards(answer: StarterAnswer) -> None:
    from_job = samples.watched_job(asked=RINA.id, answer=answer)
    shown = [
        samples.announcement_message(from_job, "shop-prod", LINKS),
        samples.card_message(samples.request(), None, LINKS, from_job),
    ]

    for message in shown:
        assert "<@U0RINA>" in message["blocks"][0]["text"]["text"].splitlines()[1]
