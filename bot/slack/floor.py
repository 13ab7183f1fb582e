"""The collaborators that the listeners share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.slack.background import Background
    from bot.slack.clicks import Clicks
    from bot.slack.dialogs import Dialogs
    from bot.slack.identity import Identity
    from bot.slack.ports import Desk
    from bot.slack.submissions import Submissions
    from bot.slack.telling import Telling


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Everything that a listener may call."""

    identity: Identity
    desk: Desk
    dialogs: Dialogs
    submissions: Submissions
    clicks: Clicks
    telling: Telling
    background: Background
