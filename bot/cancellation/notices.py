"""When approvers are told of a waiting request: at first, by reminders, by escalation (pure)."""

from dataclasses import dataclass
from datetime import datetime

from bot.cancellation.lifecycle import Request
from bot.cancellation.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is due for the approvers of one request.

    Attributes:
        is_first: whether they are told for the first time since the request waits.
        reminder: the number of the reminder that is due, from 1; 0: none is.
        escalates: whether the people of `escalate_to` are told now.
        next_at: when the next reminder is due; None after the last one.
    """

    is_first: bool
    reminder: int
    escalates: bool
    next_at: datetime | None


def due_notice(policy: Policy, request: Request, now: datetime) -> Notice:
    """Return what is due for a waiting request, whose `next_notice_at` has passed.

    Reminders that were missed while no bot ran count as one. Those that would come after the
    request expires do not count, so that the last one that comes escalates.
    """
    start = request.changed_at
    times = [start + after for after in policy.remind_after]
    times = [time for time in times if time < request.expires_at]
    passed = [time for time in times if time <= now]
    planned = request.next_notice_at or start
    is_first = planned <= start
    # The policy may have changed since the reminder was planned.
    is_due = not is_first and any(time >= planned for time in passed)
    return Notice(
        is_first=is_first,
        reminder=len(passed) if is_due else 0,
        escalates=(is_first or is_due) and len(passed) == len(times),
        next_at=times[len(passed)] if len(passed) < len(times) else None,
    )
