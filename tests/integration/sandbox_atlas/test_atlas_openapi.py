"""Schemathesis checks the fake Atlas against its OpenAPI description."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from requests.auth import HTTPBasicAuth, HTTPDigestAuth
from schemathesis import Case, HookContext
from schemathesis.specs.openapi.checks import positive_data_acceptance

from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, FakeAtlasServer, ManualClock
from bot.sandbox.atlas.example import CLIENT_ID, CLIENT_SECRET

TOKEN_PATH = "/api/oauth/token"

#: The date is later than any version: each resource answers in its newest.
VERSION = "application/vnd.atlas.2025-03-12+json"

schema = schemathesis.openapi.from_path(Path(__file__).with_name("atlas_api.yaml"))
key = HTTPDigestAuth(PUBLIC_KEY, PRIVATE_KEY)
schema.auth.set_from_requests(key).skip_for(path=TOKEN_PATH)
account = HTTPBasicAuth(CLIENT_ID, CLIENT_SECRET)
schema.auth.set_from_requests(account).apply_to(path=TOKEN_PATH)


class Running:
    """A fake Atlas in its own thread, for a blocking client."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        # Its clock does not advance, so that no nonce and no token expires.
        self.atlas = FakeAtlasServer(clock=ManualClock())

    def __enter__(self) -> FakeAtlasServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.atlas.start(), self._loop).result(10)
        return self.atlas

    def __exit__(self, *_error: object) -> None:
        asyncio.run_coroutine_threadsafe(self.atlas.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def running() -> Iterator[FakeAtlasServer]:
    with Running() as atlas:
        # Enough for all calls: the limit has tests of its own.
        atlas.behaviour.rate_capacity = 100_000
        atlas.behaviour.token_limit = 100_000
        yield atlas


@schema.hook
def before_generate_path_parameters(
    context: HookContext, strategy: st.SearchStrategy[dict[str, str]]
) -> st.SearchStrategy[dict[str, str]]:
    """Let half of the paths lead to something."""
    place = {"project": st.just(PROJECT_ID), "cluster": st.sampled_from(["prod-eu", "analytics"])}
    jobs = st.sampled_from([f"65f0a1c2d3e4f5a6b7c8010{number}" for number in range(1, 9)])
    rest = {"job": jobs, "client": st.just(CLIENT_ID)}
    return st.one_of(strategy, st.fixed_dictionaries({**place, **rest}))


def answers_are_as_described(operation_id: str) -> Callable[..., None]:
    """Return the test of one operation.

    No 5xx; statuses, types, headers and bodies as described; wrong input and keys refused.
    """

    @schema.include(operation_id=operation_id).parametrize()
    @settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
    def check(case: Case[Any], running: FakeAtlasServer) -> None:
        media = "application/json" if case.path == TOKEN_PATH else VERSION
        # A valid request to cancel may name a job that cannot be cancelled.
        case.call_and_validate(
            base_url=running.url,
            headers={"Accept": media},
            excluded_checks=[positive_data_acceptance] if case.method == "DELETE" else None,
        )

    test: Callable[..., None] = check
    return test


# A test each: pytest 9.2 gives all tests of one function the same id, and xdist then runs one only.
for path in schema.raw_schema["paths"].values():
    for name in (path[method]["operationId"] for method in path if method != "parameters"):
        globals()[f"test_answers_are_as_described_{name}"] = answers_are_as_described(name)
