"""The rules that are checked after a campaign, and their violations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """A rule; its value is the text of a violation in the table."""

    ENDED = "acknowledged, without an outcome"
    CARDS = "other than one card"
    OUTCOMES = "other than one outcome, or an unexpected one"
    EFFECTS = "other than one DELETE that took effect"
    APPROVED = "a DELETE without the approvals"
    TRUTH = "reported state differs from Atlas"
    BLIND = "a DELETE after the job was known to be cancelled"
    EARLY = "expired too early"
    GRACE = "a DELETE before the grace time was over"
    ALONE = "acted alone without asking for it, or reviewed other than once"
    NOTICES = "a notice twice, or after the decision"
    DIRECT = "a copy of a card that shows another state"
    AUDIT_LOG = "the audit log differs from Slack or Atlas"
    CHAIN = "the audit log's hash chain is broken"
    COPIES = "a duplicate post without a lost answer"
    TRACES = "an unexpected error in a log"
    SECRETS = "a secret in a log, the audit log or Slack"
    COMPLAINTS = "a call that Slack forbids"
    PROCESSES = "a bot that exited otherwise than signalled"
    CAMPAIGN = "an error of the campaign itself"


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation of a rule, whose value is its text; `what` has the details."""

    rule: StrEnum
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"
