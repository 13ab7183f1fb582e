"""The Home tab: what can be cancelled, what waits for the reader's approval, the last requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.slack import blockkit, ids, mrkdwn
from bot.slack.card import views as card_views
from bot.slack.command.views import command
from bot.slack.lists import history_views
from bot.slack.lists import views as lists

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from bot.cancellation.lifecycle import Request
    from bot.services.search_results import Listing
    from bot.slack.blockkit import Block, View
    from bot.slack.links import Links
    from bot.storage.history import PastRequest

#: How much of each is shown: a Home tab has 100 blocks.
MOST_JOBS = 20
MOST_WAITING = 10
LAST = 5


def view(jobs: Sequence[Block], waiting: Sequence[Block], past: Sequence[Block]) -> View:
    """Put the three parts together."""
    blocks = [
        _header("What can be cancelled now"),
        *jobs,
        blockkit.actions(blockkit.button("Look again", ids.REFRESH, "home")),
        _header("Waits for your approval"),
        *waiting,
        _header("The last requests"),
        *past,
    ]
    return {"type": "home", "blocks": blocks}


def saying(sentence: str) -> list[Block]:
    """Show a sentence instead of a part (mrkdwn of our own making)."""
    return [blockkit.section(blockkit.cut(sentence, blockkit.TEXT))]


LOOKING = saying(":hourglass_flowing_sand: Looking …")


def jobs(listing: Listing, now: datetime) -> list[Block]:
    """Show the newest of what can be cancelled."""
    shown = [lists.entry(found) for found in listing.jobs[:MOST_JOBS]]
    more = len(listing.jobs) - len(shown)
    if not shown:
        shown = saying("Nothing, as far as can be seen." if listing.unseen else "Nothing.")
    if more > 0:
        shown.append(blockkit.context(f"And {more} more: {command('list')} shows all."))
    return [*shown, *lists.unseen(listing.unseen), blockkit.context(f"As of {mrkdwn.when(now)}")]


def waiting(requests: Sequence[Request], links: Links) -> list[Block]:
    """Show the requests that the reader may approve, oldest first."""
    if not requests:
        return saying("Nothing.")
    shown = [part for each in requests[:MOST_WAITING] for part in _request(each, links)]
    more = len(requests) - MOST_WAITING
    return [*shown, blockkit.context(f"And {more} more.")] if more > 0 else shown


def past(requests: Sequence[PastRequest], projects: Mapping[str, str], links: Links) -> list[Block]:
    """Show the last requests."""
    return history_views.sections(requests, projects, links) or saying("Nothing was asked for yet.")


def _request(request: Request, links: Links) -> list[Block]:
    there = mrkdwn.link(links.card_of(request), "its card")
    reason = f"\n{mrkdwn.quote(request.reason, 500)}" if request.reason.strip() else ""
    said = (
        f"{mrkdwn.person(request.requester)} asks to cancel {mrkdwn.summary(request)}, "
        f"until {mrkdwn.when(request.expires_at)}: see {there}.{reason}"
    )
    return [
        blockkit.section(blockkit.cut(said, blockkit.TEXT)),
        blockkit.actions(*card_views.decisions(request)),
    ]


def _header(words: str) -> dict[str, Any]:
    return {"type": "header", "text": blockkit.plain(words)}
