"""The addresses that messages and dialogs point to: Atlas's own pages, and our cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from bot.atlas import JobRef
    from bot.cancellation.lifecycle import Card, Request
    from bot.slack.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Makes links.

    Attributes:
        atlas: the host of Atlas's pages, such as `https://cloud.mongodb.com`.
        identity: whose workspace the cards are in.
    """

    atlas: str
    identity: Identity

    def cluster_page(self, ref: JobRef) -> str:
        """Return the address of the cluster's page in Atlas, where its restores are listed."""
        base = self.atlas.rstrip("/")
        return f"{base}/v2/{quote(ref.project_id)}#/clusters/detail/{quote(ref.cluster_name)}"

    def card_of(self, request: Request) -> str | None:
        """Return the address of a request's card, or None while it is not posted."""
        return self.message(request.card) if request.card else None

    def message(self, card: Card) -> str | None:
        """Return the address of a card by where it stands."""
        return self.identity.link_to(card.channel, card.ts)
