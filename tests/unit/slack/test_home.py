"""The Home tab: what comes first, and what it says where the command does not work."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bot.cancellation.events import EventName
from bot.cancellation.job import StarterAnswer
from bot.cancellation.lifecycle import State
from bot.cancellation.people import People
from bot.cancellation.policy import Mode, Policies, Policy
from bot.cancellation.posts import PostKind
from bot.services.job_search import CancellableJob, ClusterRef, Search
from bot.services.projects import Project, Projects
from bot.slack import home, ids, lists
from bot.slack.outbox.messages import MessageBuilder
from tests.support.clock import NOON
from tests.support.domain import PROJECT_ID, RINA, a_job, new_job_id
from tests.support.fake_atlas import FakeAtlas
from tests.support.service import CLUSTER
from tests.unit.slack import payloads, samples
from tests.unit.slack.fake_slack import HOME, LINKS
from tests.unit.slack.harness import BoltHarness, NewBolt

ONE = Policy(
    approvals=1,
    approvers=People(users=frozenset({"U0ADA"})),
    quarantine=Mode.ENFORCE,
)


async def home_of(bolt: BoltHarness, user: str) -> dict[str, Any]:
    event = {"type": "app_home_opened", "tab": "home", "user": user}
    await bolt.send({"type": "event_callback", "team_id": HOME, "event": event})
    view = bolt.slack.called("views.publish")[-1]["view"]
    return dict(json.loads(view)) if isinstance(view, str) else view


def headers(view: dict[str, Any]) -> list[str]:
    return [block["text"]["text"] for block in view["blocks"] if block["type"] == "header"]


async def test_home_shows_an_approver_the_downloads_in_quarantine_first_and_once(
    new_bolt: NewBolt,
) -> None:
    bolt = new_bolt(ONE)
    request = await bolt.insert(samples.in_quarantine())
    for_ada, for_rina = await home_of(bolt, "U0ADA"), await home_of(bolt, "U0RINA")
    _, row, buttons, *_ = for_ada["blocks"]

    assert headers(for_ada)[0] == "In quarantine: keep or cancel"
    assert "Keep or cancel this download?* `prod-eu`" in row["text"]["text"]
    assert "*Will be cancelled*" in row["text"]["text"]
    assert [(each["action_id"], each["value"]) for each in buttons["elements"]] == [
        ("cancel_restore_keep", request.id),
        ("cancel_restore_approve", request.id),
    ]
    assert "No others." in json.dumps(for_ada)
    assert ids.OPEN not in json.dumps(for_ada)
    assert "*Will be cancelled*" in json.dumps(for_rina["blocks"][1])
    assert headers(for_rina)[:2] == ["In quarantine", "Cancelling waits for your approval"]


async def test_bot_that_only_watches_says_nowhere_that_a_download_can_be_cancelled(
    new_bolt: NewBolt,
) -> None:
    bolt = new_bolt(Policy(read_only=True))
    await bolt.send(payloads.command(CLUSTER))
    await bolt.send(payloads.command("list"))
    view = await home_of(bolt, RINA.id)
    running = "1 download{} is running; the bot only watches: cancel it in Atlas"

    assert running.format(" of `prod-eu`") in str(bolt.shown[-1])
    assert running.format("") in bolt.private[-1]
    assert headers(view)[1] == "Running downloads: cancel them in Atlas"
    assert "can be cancelled" not in str([bolt.shown, bolt.private, view])


@pytest.mark.parametrize("state", [State.APPROVED, State.CANCELLING])
async def test_home_says_that_a_download_is_being_cancelled(
    new_bolt: NewBolt, state: State
) -> None:
    bolt = new_bolt(ONE)
    await bolt.insert(samples.request(state=state))

    assert "*Is being cancelled*" in json.dumps(await home_of(bolt, "U0ADA"))


@pytest.mark.parametrize(
    ("policy", "actions", "line"),
    [
        (Policy(), [ids.KEEP, ids.APPROVE], "*Would be cancelled*"),
        (replace(ONE, read_only=True), [ids.KEEP], "*Would be cancelled*"),
    ],
    ids=["switched off since", "read-only since"],
)
def test_card_and_home_offer_to_cancel_a_quarantined_download_as_long_as_the_bot_may(
    policy: Policy, actions: list[str], line: str
) -> None:
    request, policies = samples.in_quarantine(), Policies(policy)
    shop = Project(id=PROJECT_ID, name="shop", policies=policies, atlas=FakeAtlas({}))
    post = samples.post(EventName.CREATED, request, kind=PostKind.CARD)
    card = MessageBuilder(LINKS, Projects([shop])).build(post).content["blocks"]
    known = {request.ref: samples.JOB}
    parts = home.RequestParts(samples.VIEWER, LINKS, lambda _ref: policy, known)
    row = parts.quarantine([request])

    for blocks in (card, row):
        (buttons,) = [each["elements"] for each in blocks if each["type"] == "actions"]
        assert [each["action_id"] for each in buttons] == actions
        assert line in str(blocks)


@pytest.mark.parametrize("answer", StarterAnswer)
def test_rows_say_second_what_the_starter_answered(answer: StarterAnswer) -> None:
    own, asked = samples.in_quarantine(), samples.waiting()
    job = samples.watched_job(asked="U0RINA", answer=answer)
    parts = home.RequestParts(
        samples.VIEWER, LINKS, lambda _ref: ONE, {own.ref: job, asked.ref: job}
    )
    place = ClusterRef(project=samples.PROJECTS[0], cluster="prod-eu")
    rows = [
        parts.quarantine([own])[1],
        parts.waiting([asked])[0],
        lists.job_entry(CancellableJob(place=place, job=a_job()), job),
    ]

    said = "was me" if answer is StarterAnswer.MINE else "was not me"
    seconds = [row["text"]["text"].splitlines()[1] for row in rows]
    assert [said in line and "<@U0RINA>" in line for line in seconds] == [True] * 3


def test_download_after_one_that_ended_since_the_listing_counts_as_a_further_one() -> None:
    place = ClusterRef(project=samples.PROJECTS[0], cluster="prod-eu")
    jobs = [
        CancellableJob(place=place, job=a_job(id=new_job_id())) for _ in range(home.MAX_JOBS + 1)
    ]
    ended, *others = known = {each.ref: samples.JOB for each in jobs[: home.MAX_JOBS]}
    shown = str(home.job_blocks(Search(jobs=jobs), NOON, known, above={ended}))

    assert shown.count(ids.OPEN) == len(others)
    assert "And 1 more" in shown


@pytest.mark.parametrize("is_kept", [True, False])
async def test_home_is_published_again_after_a_decision_in_its_dialog(
    new_bolt: NewBolt, *, is_kept: bool
) -> None:
    bolt = new_bolt(ONE)
    request = await bolt.insert(
        samples.in_quarantine() if is_kept else samples.waiting(approvals=())
    )
    before = await home_of(bolt, "U0ADA")
    action = ids.KEEP if is_kept else ids.DENY
    await bolt.send(payloads.view_click(action, before, user="U0ADA", value=request.id))
    await bolt.send(payloads.submission(bolt.shown[-1], user="U0ADA", reason="needed"))
    after = bolt.slack.called("views.publish")[-1]["view"]

    assert request.id in json.dumps(before)
    assert request.id not in json.dumps(after)


async def test_home_asks_for_one_approval_of_each_approver(new_bolt: NewBolt) -> None:
    bolt = new_bolt(replace(ONE, approvers=People(users=frozenset({"U0ADA", "U0ABE"}))))
    request = await bolt.insert(samples.waiting())  # Ada has approved it
    ada, abe = [json.dumps(await home_of(bolt, user)) for user in ("U0ADA", "U0ABE")]

    assert request.id not in ada
    assert request.id in abe


async def test_home_offers_to_try_again_what_slack_did_not_answer(new_bolt: NewBolt) -> None:
    bolt = new_bolt(ONE)
    bolt.slack.respond("users.info", "fatal_error")
    shown = json.dumps(await home_of(bolt, "U0RINA"))

    assert '"Try again"' in shown


async def test_home_shows_the_other_requests_where_a_group_of_approvers_was_deleted(
    new_bolt: NewBolt,
) -> None:
    bolt = new_bolt(replace(ONE, approvers=People(groups=frozenset({"S0GONE"}))))
    bolt.slack.respond("usergroups.users.list", *["no_such_subteam"] * 9)
    await bolt.insert(samples.in_quarantine())
    shown = await home_of(bolt, "U0RINA")

    assert "The last requests" in headers(shown)
    assert json.dumps(shown).count("The bot could not check who may do this") == 1


async def test_home_says_once_in_which_channels_the_command_works(new_bolt: NewBolt) -> None:
    bolt = new_bolt(replace(ONE, channels=frozenset({"C0OPS"})))
    shown = json.dumps(await home_of(bolt, "U0RINA"))

    assert shown.count("Downloads can be cancelled in <#C0OPS>: type") == 1
    assert "this channel" not in shown
