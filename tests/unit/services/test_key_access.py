"""The loop that reads the rights of a key or service account."""

import asyncio

import pytest

from bot.atlas import AtlasReader, KeyAccess, RoleMissing, Unavailable
from bot.services.projects import follow_key_access
from bot.timings import DEFAULT_TIMINGS
from tests.support.clock import NOON
from tests.support.domain import PROJECT_ID

LONG, SHORT = DEFAULT_TIMINGS.key_access_interval, DEFAULT_TIMINGS.key_access_retry


class KeyAccessAtlas(AtlasReader):
    """Answers in turn, and then ends the test."""

    def __init__(self, *answers: KeyAccess | Exception) -> None:
        self.answers = [*answers]

    async def key_access(self, project_id: str) -> KeyAccess:
        if not self.answers:
            raise asyncio.CancelledError
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_access_is_read_at_the_start_and_again_and_sooner_without_an_answer() -> None:
    first = KeyAccess(secret_expires_at=NOON)
    later = KeyAccess(roles=frozenset({"GROUP_READ_ONLY"}))
    atlas = KeyAccessAtlas(Unavailable(), first, RoleMissing(), later)
    found: list[KeyAccess] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def turn() -> None:
        pauses.append(0)

    with pytest.raises(asyncio.CancelledError):
        await follow_key_access(atlas, PROJECT_ID, found.append, turn=turn, sleep=sleep)

    assert found == [first, later]
    assert pauses == [0, SHORT, 0, LONG, 0, LONG, 0, LONG, 0]
