"""The loop that reads when a service account's secret expires."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from pydantic import SecretStr

from bot.atlas import AtlasClient, RoleMissing, ServiceAccount, Unavailable
from bot.services.secret_expiry import follow_secret_expiry
from bot.timings import DEFAULT_TIMINGS
from tests.support.domain import NOON, PROJECT_ID

ACCOUNT = ServiceAccount("mdb_sa_id_1", SecretStr("mdb_sa_sk_1"))
HOUR, MINUTE = DEFAULT_TIMINGS.secret_expiry_interval, DEFAULT_TIMINGS.secret_expiry_retry


class ScriptedAtlas(AtlasClient):
    """Answers in turn, and then ends the test."""

    def __init__(self, *answers: datetime | Exception | None) -> None:
        self.answers = [*answers]

    async def secret_expiry(self, project_id: str, account: ServiceAccount) -> datetime | None:
        if not self.answers:
            raise asyncio.CancelledError
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_expiry_is_read_at_the_start_and_each_hour_and_sooner_without_an_answer() -> None:
    later = NOON + timedelta(days=7)
    atlas = ScriptedAtlas(Unavailable(), NOON, RoleMissing(), None, later)
    found: list[datetime] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    with pytest.raises(asyncio.CancelledError):
        await follow_secret_expiry(atlas, PROJECT_ID, ACCOUNT, found.append, sleep=sleep)

    assert found == [NOON, later]
    assert pauses == [MINUTE, HOUR, HOUR, HOUR, HOUR]
