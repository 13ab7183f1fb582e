"""Builds the Home tab: cancellable jobs, requests to approve, and the last requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.cancellation.lifecycle import Request
from bot.services.search_results import Listing
from bot.slack import blockkit, ids, mrkdwn
from bot.slack.blockkit import Block, View
from bot.slack.card import views as card_views
from bot.slack.command.views import command
from bot.slack.links import Links
from bot.slack.lists import views as list_views
from bot.storage.audit_log import PastRequest

#: Entries of each part; a Home tab has at most 100 blocks.
MAX_JOBS = 20
MAX_WAITING = 10
MAX_PAST = 5


def view(jobs: Sequence[Block], waiting: Sequence[Block], past: Sequence[Block]) -> View:
    """Build the tab from its three parts."""
    blocks = [
        _header("What can be cancelled now"),
        *jobs,
        blockkit.actions(blockkit.button("Refresh", ids.REFRESH, "home")),
        _header("Waits for your approval"),
        *waiting,
        _header("The last requests"),
        *past,
    ]
    return {"type": "home", "blocks": blocks}


def message(text: str) -> list[Block]:
    """Show a message instead of a part; `text` is trusted mrkdwn."""
    return [blockkit.section(blockkit.cut(text, blockkit.TEXT))]


LOADING = message(":hourglass_flowing_sand: Looking …")


def jobs(listing: Listing, now: datetime) -> list[Block]:
    """Show the newest jobs that can be cancelled."""
    shown = [list_views.job_entry(found) for found in listing.jobs[:MAX_JOBS]]
    more = len(listing.jobs) - len(shown)
    if not shown:
        shown = message("Nothing, as far as can be seen." if listing.unavailable else "Nothing.")
    if more > 0:
        shown.append(blockkit.context(f"And {more} more: {command('list')} shows all."))
    return [
        *shown,
        *list_views.unavailable_blocks(listing.unavailable),
        blockkit.context(f"As of {mrkdwn.date(now)}"),
    ]


def waiting(requests: Sequence[Request], links: Links) -> list[Block]:
    """Show the requests that the viewer may approve, oldest first."""
    if not requests:
        return message("Nothing.")
    shown = [part for each in requests[:MAX_WAITING] for part in _request(each, links)]
    more = len(requests) - MAX_WAITING
    return [*shown, blockkit.context(f"And {more} more.")] if more > 0 else shown


def past(requests: Sequence[PastRequest], projects: Mapping[str, str], links: Links) -> list[Block]:
    """Show the last requests."""
    return list_views.history_sections(requests, projects, links) or message(
        "There are no requests yet."
    )


def _request(request: Request, links: Links) -> list[Block]:
    card = mrkdwn.link(links.card_of(request), "its card")
    reason = f"\n{mrkdwn.quote(request.reason, 500)}" if request.reason.strip() else ""
    text = (
        f"{mrkdwn.person(request.requester)} asks to cancel {mrkdwn.summary(request)}, "
        f"until {mrkdwn.date(request.expires_at)}: see {card}.{reason}"
    )
    return [
        blockkit.section(blockkit.cut(text, blockkit.TEXT)),
        blockkit.actions(*card_views.approver_buttons(request)),
    ]


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": blockkit.plain(text)}
