"""Two deliveries of one submission, committed in each other's midst."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bot.cancellation.errors import JobTaken
from bot.cancellation.ledger import _find_or_create
from bot.cancellation.page import Page
from tests.domain import ADA, NOON, RINA, a_request, job_ref

if TYPE_CHECKING:
    from bot.cancellation.lifecycle import Request


class Looks(Page):
    """A page whose look by key comes before the other's commit, and its look by job after it."""

    def __init__(self, committed: Request) -> None:
        self.now = NOON
        self._found = [None, committed]

    def find(self, statement: Any) -> Request | None:
        return self._found.pop(0)


def test_the_same_submission_is_not_taken_for_somebody_elses() -> None:
    request = a_request(key="V1", ref=job_ref())

    assert _find_or_create(Looks(request), request, RINA) is request


def test_another_submission_for_the_job_is_told_who_was_first() -> None:
    first = a_request(key="V1", ref=job_ref())

    with pytest.raises(JobTaken) as lost:
        _find_or_create(Looks(first), a_request(key="V2", ref=job_ref()), ADA)

    assert lost.value.request is first
