"""Rules for notices: no person gets one twice, or after the decision; copies show the end."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from bot.cancellation.events import EventName
from tests.acceptance.environment import request_of, state_of
from tests.tools.campaign.checks.audit_log import CLOSING
from tests.tools.campaign.checks.rules import Rule
from tests.tools.campaign.worlds import APPROVERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bot.cancellation.events import Recorded
    from tests.tools.campaign.checks.observations import Observations

#: Events of notices to approvers, and those with which a request waits (again).
NOTICES = frozenset({EventName.NOTIFIED, EventName.REMINDED, EventName.ESCALATED})
WAITS = frozenset({EventName.CREATED, EventName.AWAITING, EventName.RETRIED})
DECIDED = CLOSING | {EventName.APPROVED}

Found = tuple[Rule, str]


def of_notices(observations: Observations) -> Iterator[Found]:
    people = {observations.slack.state.dm(name): name for name in APPROVERS}
    ids = {name: observations.slack.workspace.user(name).id for name in APPROVERS}
    for request, chain in observations.chains.items():
        for what in of_chain(chain):
            yield Rule.NOTICES, f"request {request}: {what}"
        for channel, count in _copies(observations, request).items():
            user = ids.get(people.get(channel, ""), "")
            recorded = sum(user in _detail(event).get("people", ()) for event in _notices(chain))
            if count > recorded:
                yield Rule.NOTICES, f"request {request}: {user} got {count} copies of {recorded}"
        yield from _of_states(observations, request)


def of_chain(chain: Sequence[Recorded]) -> Iterator[str]:
    """Check that each notice was given once while the request waited, and none afterwards.

    A request that ran without approval may be sent to approvers for a review.
    """
    is_for_review = any(event.event == EventName.ACTED_ALONE for event in chain)
    given: set[tuple[str, object]] = set()
    is_decided = False
    for event in chain:
        if event.event in WAITS:
            given, is_decided = set(), False
        is_decided = is_decided or (event.event in DECIDED and not is_for_review)
        if event.event in NOTICES:
            notice = (event.event, _detail(event).get("reminder"))
            if notice in given or is_decided:
                yield f"{notice}, {'after the decision' if is_decided else 'twice'}"
            given.add(notice)


def _notices(chain: Sequence[Recorded]) -> list[Recorded]:
    return [event for event in chain if event.event in NOTICES]


def _detail(event: Recorded) -> dict[str, Any]:
    detail: dict[str, Any] = json.loads(event.detail)
    return detail


def _copies(observations: Observations, request: str) -> Counter[str]:
    """Count the copies by channel; where Slack recognizes a repeated post, each counts."""
    if observations.posts_may_double:
        return Counter(channel for channel, _ in observations.messages.copies_of(request))
    return Counter(
        channel
        for (channel, _), each in observations.messages.direct.items()
        if request_of(each) == request
    )


def _of_states(observations: Observations, request: str) -> Iterator[Found]:
    thread = observations.messages.threads.get(request)
    if thread is None or not thread.settled:
        return
    for (channel, ts), each in observations.messages.copies_of(request).items():
        if state_of(each) != thread.state:
            yield (
                Rule.DIRECT,
                f"request {request} is {thread.state}, copy {channel} {ts}: {state_of(each)}",
            )
