"""The secrets of a service account, as Atlas describes them, and which one is the bot's own."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import AwareDatetime, Field

from bot.atlas.models import AtlasModel


class AccountSecret(AtlasModel):
    """One of at most two secrets of a service account.

    Attributes:
        masked: the secret with all but its last characters replaced by asterisks, or empty.
        expires_at: when Atlas stops accepting it.
    """

    masked: str = Field(default="", alias="maskedSecretValue")
    expires_at: AwareDatetime | None = None
    last_used_at: AwareDatetime | None = None


class ServiceAccountDetails(AtlasModel):
    """A service account, without what the bot does not need."""

    secrets: tuple[AccountSecret, ...] = ()


def expiry_of(secret: str, secrets: Sequence[AccountSecret]) -> datetime | None:
    """Return when `secret` expires: of those that end like it, the one that was used last.

    Without a match all of them count, because the form of a masked secret is not documented.
    """
    ends = {each: each.masked.rpartition("*")[2] for each in secrets}
    alike = [each for each, end in ends.items() if end and secret.endswith(end)]
    return max(alike or secrets, key=_use, default=AccountSecret()).expires_at


def _use(secret: AccountSecret) -> float:
    return secret.last_used_at.timestamp() if secret.last_used_at else 0.0
