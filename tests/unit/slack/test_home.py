"""The Home tab."""

from bot.slack import home, ids
from tests.support.domain import a_waiting_request
from tests.unit.slack.fake_slack import LINKS
from tests.unit.slack.samples import VIEWER


def test_home_tab_has_approve_and_deny() -> None:
    (section, buttons, *_) = home.waiting_blocks([a_waiting_request()], VIEWER, LINKS, {})

    assert section["type"] == "section"
    assert [button["action_id"] for button in buttons["elements"]] == [ids.APPROVE, ids.DENY]
