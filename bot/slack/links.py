"""Builds links to Atlas's web interface and to messages in Slack."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from bot.atlas import JobRef
from bot.cancellation.lifecycle import Card, Request
from bot.slack.client import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Builds the links.

    Attributes:
        atlas: the base URL of Atlas's web interface, such as `https://cloud.mongodb.com`.
        identity: the workspace of the messages.
    """

    atlas: str
    identity: Identity

    def cluster_page(self, ref: JobRef) -> str:
        """Return the URL of the cluster's page in Atlas, which lists its restore jobs."""
        base = self.atlas.rstrip("/")
        return f"{base}/v2/{quote(ref.project_id)}#/clusters/detail/{quote(ref.cluster_name)}"

    def card_of(self, request: Request) -> str | None:
        """Return the URL of a request's card, or None until it is posted."""
        return self.message(request.card) if request.card else None

    def message(self, card: Card) -> str | None:
        """Return the URL of a card's message."""
        return self.identity.link_to(card.channel, card.ts)
