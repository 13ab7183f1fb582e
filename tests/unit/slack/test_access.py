"""People without rights cause no call to Atlas and read no project's name."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bot.atlas import JobRef
from bot.cancellation.people import EVERYONE, People
from bot.cancellation.policy import Policy
from bot.slack import ids
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.state import DialogState, cluster_picker
from bot.slack.grammar import job_value
from tests.support.domain import JOB_ID, PROJECT_ID
from tests.support.service import CLUSTER
from tests.unit.slack import payloads
from tests.unit.slack.fake_slack import HOME
from tests.unit.slack.harness import BoltHarness, NewBolt

NAMES = ("shop-prod", "shop-dev")
GUEST = {"user": {"id": "U0GUEST", "team_id": HOME, "is_restricted": True}}
REF = JobRef(project_id=PROJECT_ID, cluster_name=CLUSTER, job_id=JOB_ID)
ABOUT = DialogState(asked_in="C0OPS").about(REF)
PICKER = dialog_views.view(
    replace(ABOUT, has_pickers=True),
    dialog_views.note("Choose one."),
    [cluster_picker([CLUSTER], CLUSTER)],
)
SHORTCUT = {
    "type": "message_action",
    "callback_id": ids.SHORTCUT,
    "user": {"id": "U0GUEST", "team_id": HOME},
    "team": {"id": HOME},
    "channel": {"id": "C0OPS"},
    "trigger_id": "1.2.3",
    "message": {"text": f"see {CLUSTER} {JOB_ID}"},
}
HOME_OPENED = {
    "type": "event_callback",
    "team_id": HOME,
    "event": {"type": "app_home_opened", "tab": "home", "user": "U0GUEST"},
}


def picked(block_id: str, value: str) -> dict[str, Any]:
    click = payloads.view_click(block_id, PICKER, user="U0GUEST")
    option = {"value": value, "text": {"type": "plain_text", "text": value}}
    action = {"type": "static_select", "action_id": block_id}
    selected = {"selected_option": option}
    view = click["view"] | {"state": {"values": {block_id: {block_id: selected}}}}
    return click | {"actions": [action | selected], "view": view}


JOB = f"{CLUSTER} {JOB_ID}"
TYPED = (
    *("", "help", "list", "list prod-eu", "history", "lost", CLUSTER, JOB_ID, JOB),
    *(f"{PROJECT_ID} {JOB}", f"{PROJECT_ID} {CLUSTER}", f"nosuch {JOB}"),
)
ONE_CHANNEL = Policy(channels=frozenset({"C0ONLY"}))
ENTRIES = {
    **{f"/{text}": payloads.command(text, user="U0GUEST") for text in TYPED},
    "button": payloads.click(ids.OPEN, job_value(REF), user="U0GUEST"),
    "try again": payloads.view_click(
        ids.TRY_AGAIN, dialog_views.view(ABOUT, dialog_views.loading(ABOUT)), user="U0GUEST"
    ),
    "more": payloads.click(ids.MORE, "20 ", user="U0GUEST"),
    "shortcut": SHORTCUT,
    "home": HOME_OPENED,
    "picked": picked(ids.JOB, job_value(REF)),
}


def shown_text(bolt: BoltHarness, *answers: object) -> str:
    """Return everything that the person could read or find in a view."""
    return json.dumps([*answers, *(call.arguments for call in bolt.slack.calls)])


@pytest.mark.parametrize(
    ("policy", "projects"),
    [(Policy(), NAMES[:1]), (Policy(), NAMES), (ONE_CHANNEL, NAMES[:1])],
    ids=["one", "several", "another channel"],
)
@pytest.mark.parametrize("entry", ENTRIES)
async def test_guest_reads_no_name_and_no_channel_and_causes_no_call_of_atlas(
    new_bolt: NewBolt, entry: str, policy: Policy, projects: tuple[str, ...]
) -> None:
    bolt = new_bolt(policy, *projects)
    bolt.slack.respond("users.info", GUEST)
    answer = await bolt.send(ENTRIES[entry])

    assert answer.status == 200
    assert shown_text(bolt, answer.body) != "[{}]"
    assert not [name for name in (*NAMES, "C0ONLY") if name in shown_text(bolt, answer.body)]
    assert all(atlas.calls == [] for atlas in bolt.atlas.values())


@pytest.mark.parametrize("entry", ["button", "try again", "picked"])
async def test_dialog_of_another_channel_is_refused_without_a_call_of_atlas(
    new_bolt: NewBolt, entry: str
) -> None:
    bolt = new_bolt(ONE_CHANNEL)
    answer = await bolt.send(ENTRIES[entry])

    assert "does not work in this channel" in shown_text(bolt, answer.body)
    assert all(atlas.calls == [] for atlas in bolt.atlas.values())


@pytest.mark.parametrize(("audit", "goes_to"), [(None, "C0ONLY"), ("C0AUDIT", "C0AUDIT")])
async def test_button_in_a_direct_message_works_with_the_card_in_a_channel_of_the_settings(
    new_bolt: NewBolt, audit: str | None, goes_to: str
) -> None:
    """An announcement reaches approvers there too, who are on call and can click nothing else."""
    bolt = new_bolt(replace(ONE_CHANNEL, audit_channel=audit))
    await bolt.send(payloads.click(ids.OPEN, job_value(REF), channel="D0ADA"))
    assert f"The card goes to <#{goes_to}>" in json.dumps(bolt.shown[-1])
    await bolt.send(payloads.submission(bolt.shown[-1], user="U0ADA"))

    assert [request.channel for request in await bolt.requests()] == [goes_to]


async def test_help_names_the_projects_of_an_approver_too(new_bolt: NewBolt) -> None:
    bolt = new_bolt(
        Policy(requesters=People(users=frozenset({"U0OTHER"})), approvals=1, approvers=EVERYONE),
        *NAMES,
    )
    await bolt.send(payloads.command("help"))

    assert "Projects: `shop-prod` and `shop-dev`" in bolt.private[0]


async def test_help_without_an_answer_about_the_person_names_no_project(new_bolt: NewBolt) -> None:
    bolt = new_bolt(Policy(), *NAMES)
    bolt.slack.respond("users.info", *["internal_error"] * 9)
    await bolt.send(payloads.command("help"))

    assert "Cancel a download" in bolt.private[0]
    assert "shop-" not in bolt.private[0]
