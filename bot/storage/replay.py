"""Replays the events of a request, and gives the row that they must have left (pure).

Only events that change a row are named here. A state has the event that enters it, so a new state
and a new event for people need no change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from bot.cancellation.events import EventName, Recorded
from bot.cancellation.lifecycle import Outcome, State
from bot.storage.tables import milliseconds

#: When an approval was given, and when it was voided, in milliseconds of Unix time.
ApprovalTimes = tuple[int, int | None]

#: The columns that `request:created` fills, by the fields of its detail.
_CREATED = {
    "project": "project_id",
    "cluster": "cluster_name",
    "job": "job_id",
    **{name: name for name in ("state", "reason", "asked_in", "channel")},
}

_STATES: Mapping[str, State] = {EventName.entering(state): state for state in State}
_OUTCOME = tuple(each.name for each in fields(Outcome))


@dataclass(slots=True)
class Replay:
    """A request by its events.

    Attributes:
        count: how many events there are, up to the first missing number.
        gap: whether a number is missing after them.
        last: the name of the last event.
        columns: columns of the row; an outcome without its empty fields.
        approvals: the rows of the approvals, by user.
    """

    count: int = 0
    gap: bool = False
    last: str = ""
    columns: dict[str, Any] = field(default_factory=dict)
    approvals: dict[str, ApprovalTimes] = field(default_factory=dict)

    def add(self, line: Recorded) -> None:
        """Apply the next event.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: the bot does not write such an event.
        """
        if self.gap or line.number != self.count + 1:
            self.gap = True
            return
        self.count, self.last = line.number, line.event
        self.columns["event_count"] = line.number
        detail = json.loads(line.detail)
        if state := _STATES.get(line.event):
            self._enter(state, line, detail)
        else:
            self._apply(line, detail)
        if "approvals_needed" in detail:
            self.columns["approvals_needed"] = detail["approvals_needed"]
        if "expires_at" in detail:
            self.columns["expires_at"] = _moment(detail["expires_at"])

    def _enter(self, state: State, line: Recorded, detail: Mapping[str, Any]) -> None:
        if state is State.APPROVED and line.actor:
            self.approvals[line.actor] = (_moment(line.at), None)
        outcome = {name: detail[name] for name in _OUTCOME if detail.get(name)}
        self.columns |= {"state": state, "outcome": outcome}

    def _apply(self, line: Recorded, detail: Mapping[str, Any]) -> None:
        match line.event:
            case EventName.CREATED:
                self._create(line, detail)
            case EventName.ACTED_ALONE:
                self.columns["acted_alone"] = True
            case EventName.REVIEWED:
                self.columns |= {"reviewed_by": line.actor, "reviewed_at": _moment(line.at)}
            case EventName.APPROVAL_GIVEN:
                self.approvals[line.actor or ""] = (_moment(line.at), None)
            case EventName.APPROVAL_VOIDED:
                given_at, _ = self.approvals[detail["user"]]
                self.approvals[detail["user"]] = (given_at, _moment(line.at))
            case EventName.RETRIED:
                self.approvals.clear()
                self.columns["delete_unknown"] |= self.columns["delete_accepted"]
                self.columns["delete_accepted"] = False
            case EventName.CANCEL_SENT:
                self.columns |= {"delete_count": detail["try"], "delete_unknown": True}
            case EventName.CANCEL_ANSWERED:
                self.columns["delete_accepted"] = detail["accepted"]
                self.columns["delete_unknown"] = detail["unknown"]
            case EventName.CARD_MOVED:
                self.columns["channel"] = detail["to"]

    def _create(self, line: Recorded, detail: Mapping[str, Any]) -> None:
        self.columns |= {column: detail[name] for name, column in _CREATED.items()}
        self.columns |= {
            "shown": json.dumps(detail["shown"], sort_keys=True),
            "requester": line.actor or "",
            "team": line.team,
            "acted_alone": False,
            "reviewed_by": None,
            "reviewed_at": None,
            "delete_count": 0,
            "delete_accepted": False,
            "delete_unknown": False,
            "outcome": {},
        }

    def differences(self, row: Any, approvals: Mapping[str, ApprovalTimes]) -> list[str]:  # noqa: ANN401 - a database row
        """Return the columns in which the stored rows differ."""
        stored = {name: getattr(row, name) for name in self.columns}
        stored["outcome"] = _outcome(row.outcome)
        names = [name for name, value in self.columns.items() if stored[name] != value]
        return names if approvals == self.approvals else [*names, "approvals"]


def _moment(text: str) -> int:
    return milliseconds(datetime.fromisoformat(text))


def _outcome(text: Any) -> object:  # noqa: ANN401 - whatever the column has
    try:
        return {name: value for name, value in json.loads(text).items() if value}
    except (ValueError, TypeError, AttributeError):
        return None
