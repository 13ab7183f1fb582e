"""The collaborators that the listeners share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.slack.admission import Admission
from bot.slack.clicks import Clicks
from bot.slack.dialogs import Dialogs
from bot.slack.home import Home
from bot.slack.listing import Listings
from bot.slack.offers import Offers
from bot.slack.pickers import Pickers
from bot.slack.searching import Searches
from bot.slack.submissions import Submissions

if TYPE_CHECKING:
    from bot.slack.background import Background
    from bot.slack.identity import Identity
    from bot.slack.ports import Desk
    from bot.slack.shared import Shared
    from bot.slack.telling import Telling


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Everything that a listener may call."""

    identity: Identity
    desk: Desk
    dialogs: Dialogs
    searches: Searches
    pickers: Pickers
    offers: Offers
    listings: Listings
    home: Home
    submissions: Submissions
    clicks: Clicks
    telling: Telling
    background: Background

    @classmethod
    def of(cls, shared: Shared, identity: Identity) -> Floor:
        """Build what the listeners call from what that works with."""
        admission, dialogs = Admission(shared), Dialogs(shared)
        return cls(
            identity=identity,
            desk=shared.desk,
            dialogs=dialogs,
            searches=Searches(shared, admission, dialogs),
            pickers=Pickers(shared, admission, dialogs),
            offers=Offers(shared, admission),
            listings=Listings(shared, admission),
            home=Home(shared, admission),
            submissions=Submissions(shared),
            clicks=Clicks(shared),
            telling=shared.telling,
            background=shared.background,
        )
