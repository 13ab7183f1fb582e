"""The collaborators that the listeners share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.slack.access import AllowedProjects
from bot.slack.card.decisions import CardActions
from bot.slack.dialog.flow import Dialogs
from bot.slack.dialog.search import Searches
from bot.slack.dialog.submissions import Submissions
from bot.slack.home.flow import Home
from bot.slack.lists.flow import Listings
from bot.slack.picker.flow import Pickers
from bot.slack.picker.options import Offers

if TYPE_CHECKING:
    from bot.slack.context import Services
    from bot.slack.identity import Identity
    from bot.slack.ports import Desk
    from bot.slack.private_reply import PrivateReply
    from bot.tasks import BackgroundTasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
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
    clicks: CardActions
    telling: PrivateReply
    background: BackgroundTasks

    @classmethod
    def of(cls, shared: Services, identity: Identity) -> Handlers:
        """Build what the listeners call from what that works with."""
        admission, dialogs = AllowedProjects(shared), Dialogs(shared)
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
            clicks=CardActions(shared),
            telling=shared.telling,
            background=shared.background,
        )
