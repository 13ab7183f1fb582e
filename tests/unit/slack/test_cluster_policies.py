"""Policies of clusters in Slack: what a person is offered, and the note on each message."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bot.atlas import JobRef
from bot.cancellation.events import EventName
from bot.cancellation.people import EVERYONE, People
from bot.cancellation.policy import ClusterPolicy, Policies, Policy
from bot.cancellation.posts import Post, PostKind
from bot.services.projects import Project, Projects
from bot.slack import home, ids
from bot.slack.dialog import job_details
from bot.slack.dialog.views import LEFT_OUT
from bot.slack.outbox.messages import MessageBuilder, Unneeded
from tests.support.domain import ABE, ADA, JOB_ID, PROJECT_ID, RINA, a_job, a_request
from tests.support.fake_atlas import FakeAtlas
from tests.unit.slack import payloads, samples
from tests.unit.slack.fake_slack import HOME, LINKS
from tests.unit.slack.harness import BoltHarness, NewBolt

TEST_JOB = "65f0a1c2d3e4f5a6b7c80999"
RINA_ONLY = People(users=frozenset({RINA.id}))
NOTE = "Customer data. Call security <too>: 7700."
ESCAPED = "Customer data. Call security &lt;too&gt;: 7700."
#: Everyone may ask in test clusters, Rina alone in the others.
POLICIES = Policies(
    Policy(requesters=RINA_ONLY), (ClusterPolicy(("test-*",), Policy(requesters=EVERYONE)),)
)


@pytest.fixture
async def bolt(new_bolt: NewBolt) -> BoltHarness:
    bolt = new_bolt(POLICIES)
    bolt.atlas[PROJECT_ID].jobs["test-eu"] = [a_job(id=TEST_JOB)]
    for number, cluster in enumerate(("prod-eu", "test-eu", "prod-eu", "prod-eu")):
        ref = JobRef(PROJECT_ID, cluster, f"{number:024x}")
        await bolt.insert(a_request(id=f"r{number}", key=f"k{number}", ref=ref))
    return bolt


def home_opened(user: str) -> dict[str, Any]:
    event = {"type": "app_home_opened", "tab": "home", "user": user}
    return {"type": "event_callback", "team_id": HOME, "event": event}


SHOWN: dict[str, Callable[[str], dict[str, Any]]] = {
    "list": lambda user: payloads.command("list", user=user),
    "history": lambda user: payloads.command("history 1", user=user),
    "home": home_opened,
    "picker": lambda user: payloads.command("", user=user),
}


@pytest.mark.parametrize("entry", SHOWN)
async def test_person_is_offered_the_clusters_in_which_they_may_ask(
    bolt: BoltHarness, entry: str
) -> None:
    shown = []
    for user in (RINA.id, ABE.id):
        before = len(bolt.slack.calls)
        await bolt.send(SHOWN[entry](user))
        shown.append(json.dumps([call.arguments for call in bolt.slack.calls[before:]]))
    rinas, abes = shown

    if entry == "picker":
        assert ("has 2 clusters" in rinas, "has 1 cluster." in abes) == (True, True)
    else:
        assert "prod-eu" in rinas
        assert "test-eu" in abes
        assert "prod-eu" not in abes


async def test_typed_cluster_in_which_a_person_may_not_ask_is_not_read(bolt: BoltHarness) -> None:
    await bolt.send(payloads.command("prod-eu", user=ABE.id))
    await bolt.send(payloads.command("list prod-eu", user=ABE.id))

    assert "prod-eu" not in bolt.atlas[PROJECT_ID].calls
    assert "may not" in json.dumps(bolt.shown[-1])


@pytest.mark.parametrize("text", [f"prod-eu {JOB_ID}", JOB_ID])
async def test_search_says_that_it_left_out_clusters_and_who_may_ask_there(
    new_bolt: NewBolt, text: str
) -> None:
    bolt = new_bolt(POLICIES, "shop-prod", "lab")
    await bolt.send(payloads.command(text, user=ABE.id))

    shown = json.dumps(bolt.shown[-1])
    assert "was not found" in shown
    assert (
        f"{LEFT_OUT} You may not ask for a download to be cancelled. Please ask <@U0RINA>" in shown
    )


@pytest.mark.parametrize(("cluster", "refused"), [("prod-eu", True), ("test-eu", False)])
async def test_channels_of_the_command_are_those_of_the_cluster(
    new_bolt: NewBolt, cluster: str, *, refused: bool
) -> None:
    only = Policy(channels=frozenset({"C0OTHER"}))
    bolt = new_bolt(Policies(Policy(), (ClusterPolicy(("prod-*",), only),)))
    await bolt.send(payloads.command(f"{cluster} {TEST_JOB}"))

    assert ("does not work in this channel" in json.dumps(bolt.shown[-1])) is refused


ALONE = replace(Policy(approvals=1), break_glass=RINA_ONLY)
NOT_ALONE = replace(ALONE, break_glass=People())


def checked(view: dict[str, Any]) -> dict[str, Any]:
    """Return the submission of a dialog with the box checked."""
    payload = payloads.submission(view, reason="data leaves now")
    box = {"type": "checkboxes", "selected_options": [{"value": ids.ALONE}]}
    payload["view"]["state"]["values"][ids.ALONE] = {ids.ALONE: box}
    return payload


@pytest.mark.parametrize(
    ("project", "cluster", "later", "has_box", "is_done"),
    [
        (NOT_ALONE, ALONE, None, True, True),
        (ALONE, NOT_ALONE, None, False, False),
        (NOT_ALONE, ALONE, NOT_ALONE, True, False),
    ],
    ids=["cluster alone", "project alone", "right lost since"],
)
async def test_who_may_act_alone_is_decided_by_the_cluster_for_box_and_submission(
    new_bolt: NewBolt,
    project: Policy,
    cluster: Policy,
    later: Policy | None,
    *,
    has_box: bool,
    is_done: bool,
) -> None:
    def policies(own: Policy) -> Policies:
        return Policies(project, (ClusterPolicy(("Prod-*",), own),))

    bolt = new_bolt(policies(cluster))
    await bolt.send(payloads.command(f"prod-eu {JOB_ID}", user=RINA.id))
    view = bolt.shown[-1]
    bolt.projects.update(PROJECT_ID, policies=policies(later or cluster))
    answer = await bolt.send(checked(view))

    assert (ids.ALONE in [each.get("block_id") for each in view["blocks"]]) == has_box
    assert [each.acted_alone for each in await bolt.requests()] == [True] * is_done
    assert is_done or "You may not cancel without approval" in json.dumps(answer.body)


def messages() -> MessageBuilder:
    own = Policy(note=NOTE, watch_channel="C1")
    policies = Policies(Policy(), (ClusterPolicy(("PROD-*",), own),))
    shop = Project(id=PROJECT_ID, name="shop", policies=policies, atlas=FakeAtlas({}))
    return MessageBuilder(LINKS, Projects([shop]))


WAITING = samples.waiting(card=None)
POSTS: dict[str, Post] = {
    "card": samples.post(EventName.CREATED, WAITING, kind=PostKind.CARD),
    "copy": samples.post(EventName.NOTIFIED, WAITING, kind=PostKind.COPY, recipient=ADA.id),
    "announcement": samples.announcement(job=samples.watched_job()),
}


@pytest.mark.parametrize("name", POSTS)
def test_note_is_in_the_first_lines_of_each_message(name: str) -> None:
    message = messages().build(POSTS[name])
    first, *_ = message.content["blocks"]

    assert first["text"]["text"].endswith(f"\n:information_source: *Note* {ESCAPED}")


def test_note_is_in_the_dialog_and_in_home() -> None:
    details = replace(samples.sight(), note=NOTE)
    content = job_details.not_cancellable(details, LINKS, "why")
    known = {WAITING.ref: samples.JOB}
    parts = home.RequestParts(samples.VIEWER, LINKS, lambda _ref: Policy(note=NOTE), known)
    blocks = parts.waiting([WAITING])

    assert ESCAPED in content.blocks[0]["text"]["text"]
    assert ESCAPED in blocks[0]["text"]["text"]


def test_announcement_goes_to_the_channel_of_the_cluster_and_without_one_to_none() -> None:
    job = samples.watched_job()
    elsewhere = replace(job, ref=replace(job.ref, cluster_name="test-eu"))

    assert messages().build(samples.announcement(job=job)).channel == "C1"
    with pytest.raises(Unneeded):
        messages().build(samples.announcement(job=elsewhere))
