"""What the dialog of a job lets a person submit."""

from dataclasses import replace

import pytest

from bot.cancellation.people import Person
from bot.cancellation.policy import Policy
from bot.slack import dialog_view
from tests.support.domain import ADA, GIL, POLICY, RINA, START
from tests.unit.slack import samples
from tests.unit.slack.samples import Json


def dialog(name: str, person: Person, policy: Policy | None = None) -> Json:
    found = samples.details(name)
    if policy:
        found = replace(found, project=samples.project(policy))
    return dialog_view.details(found, person, samples.LINKS, START, "{}")


@pytest.mark.parametrize(
    ("name", "person", "policy", "label"),
    [
        ("announced", RINA, samples.ALONE, "Cancel the download"),
        ("announced", RINA, None, "Ask for approval"),
        ("announced", GIL, None, "Submit"),
        ("announced", GIL, samples.ALONE, "Cancel the download"),
        ("waiting", ADA, None, "Approve cancelling"),
        ("waiting", RINA, None, "Ask for approval"),
        ("waiting_for_one_more", ADA, None, "Ask for approval"),
        ("waiting", GIL, None, "Submit"),
        ("auto_cancel", ADA, None, "Cancel the download"),
        ("auto_cancel", RINA, None, "Ask for approval"),
        ("expired", RINA, None, "Ask for approval"),
    ],
)
def test_submit_is_named_by_what_it_does(
    name: str, person: Person, policy: Policy | None, label: str
) -> None:
    assert dialog(name, person, policy)["submit"]["text"] == label


@pytest.mark.parametrize("is_required", [True, False])
def test_reason_is_optional_unless_the_policy_wants_one(is_required: bool) -> None:
    view = dialog("announced", RINA, replace(POLICY, require_reason=is_required))
    (reason,) = (block for block in view["blocks"] if block["type"] == "input")

    assert reason["optional"] is not is_required
