"""What must hold after a storm, in the words of the table, and what a violation is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """One rule; each is checked for every request, and counted in the table."""

    ENDED = "acknowledged, and not ended"
    CARDS = "other than one card"
    OUTCOMES = "other than one outcome, or not the one meant"
    EFFECTS = "other than one DELETE that took effect"
    APPROVED = "a DELETE without the approvals"
    TRUTH = "said cancelled and not, or the reverse"
    BLIND = "a DELETE although it was known to be cancelled"
    EARLY = "expired before its time"
    RECORD = "the record says otherwise than Slack or Atlas"
    CHAIN = "the record's chain is broken"
    COPIES = "a post twice, with no answer lost"
    TRACES = "an unexpected error in a log"
    SECRETS = "a secret in a log, the record or Slack"
    COMPLAINTS = "something that Slack forbids"
    LIVES = "a bot that ended otherwise than it was told"
    CAMPAIGN = "something that the campaign could not do"


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule broken once; `what` is a sentence for whoever looks for the reason."""

    rule: Rule
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"
