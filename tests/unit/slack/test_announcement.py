"""The announcement of a restore job."""

from bot.slack import ids
from bot.slack.grammar import OpenDialog, parse
from tests.support.domain import JOB_ID, PROJECT_ID
from tests.unit.slack.samples import announcements

MESSAGES = announcements()


def test_button_is_shown_only_while_the_job_can_be_cancelled() -> None:
    with_button = {name for name, message in MESSAGES.items() if ids.OPEN in str(message["blocks"])}

    open_jobs = ("in_progress", "link_live", "link_used", "asked")
    assert with_button == {f"announcement_{name}" for name in open_jobs}


def test_value_of_the_button_is_the_argument_of_the_command() -> None:
    (buttons,) = (
        block
        for block in MESSAGES["announcement_in_progress"]["blocks"]
        if block["type"] == "actions"
    )
    (button,) = buttons["elements"]

    assert (button["action_id"], button["text"]["text"]) == (
        "cancel_restore_open",
        "Cancel this download",
    )
    assert parse(button["value"]) == OpenDialog(PROJECT_ID, "prod-eu", JOB_ID)


def test_only_the_announcement_of_a_cancelled_job_says_cancelled() -> None:
    cancelled = {
        name
        for name, message in MESSAGES.items()
        if "cancelled" in (str(message["blocks"]) + message["text"]).lower()
    }

    assert cancelled == {"announcement_cancelled", "announcement_own"}
