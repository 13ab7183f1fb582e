"""The parts of fuzzing: each draws with hypothesis and sends to a running target."""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.tools.campaign.fuzzing import atlas as fuzz_atlas
from tests.tools.campaign.fuzzing.environment import (
    ADDRESS,
    EXPECTING_AN_ANSWER,
    MAKERS,
    command,
    fuzzed_bot,
)
from tests.tools.campaign.fuzzing.shapes import (
    ODD_TEXTS,
    Mutation,
    anything,
    mutated,
    mutations,
    typed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from tests.tools.campaign.fuzzing.atlas import Answer, MalformedAtlas
    from tests.tools.campaign.fuzzing.environment import Target

    Act = Callable[[Any], Coroutine[Any, Any, object]]

FORM = "application/x-www-form-urlencoded"
CONTENT_TYPES = (
    *(FORM, FORM, "application/json", f"{FORM}; charset=utf-16", "text/plain", "", ";;;"),
    *("multipart/form-data; boundary=x", "application/json; charset=klingon", "x" * 5000),
)
BROKEN_BODIES = (
    *(b"", b"payload=", b"payload=%FF%FE", b"payload=%ED%A0%80", b"command", b"\xff\xfe\x00"),
    *(b"payload=" + b"%5B" * 50_000, b"{" * 50_000, b'{"a":' * 20_000, b"a&" * 50_000),
    *(b"payload=NaN", b"payload=%22%5Cud800%22", b"command=%2Fcancel-restore&user_id=U1&text=%FF"),
    *(b'{"type":"event_callback","event":{"type":"x","n":' + b"9" * 5000 + b"}}", b"ssl_check=1"),
    *(b'{"type":"url_verification"}', b'{"type":"event_callback","event":null}', b"null", b"[]"),
    *(b"command=%2Fcancel-restore&user_id=U1&command=", b"payload=%7B%7D&payload=%7B%7D", b"&=&=&"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of thing that is thrown."""

    name: str
    draws: st.SearchStrategy[Any]
    act: Act


class FuzzSession:
    """All fuzzed targets, in one event loop that runs during each action."""

    def __init__(self) -> None:
        self._exits = ExitStack()
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._exits.enter_context(self._runner)
        return self

    def __exit__(self, *_error: object) -> None:
        self._exits.close()

    def bot(self, *, http: bool) -> list[Part]:
        """Start a bot, and return the parts that fuzz it."""
        folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-")))
        target = self._open(fuzzed_bot(folder, http=http))
        way = "HTTP" if http else "Socket Mode"
        parts = [
            Part(f"commands over {way}", typed(), _send_commands(target)),
            Part(f"payloads over {way}", _recipes(), _send_payloads(target)),
        ]
        if http:
            return [*parts, Part("bodies over HTTP", bodies(), _send_bodies(target))]
        return [*parts, Part("frames over Socket Mode", frames(), _send_frames(target))]

    def atlas(self) -> list[Part]:
        """Start a scripted Atlas, and return the part that fuzzes the client with it."""
        return [
            Part("answers of Atlas", calls(), _call_atlas(self._open(fuzz_atlas.malformed_atlas())))
        ]

    def run_part(self, part: Part, examples: int, random_seed: int | None = None) -> None:
        """Run so many examples; raises a finding with the smallest input.

        Args:
            part: the part to run.
            examples: how many.
            random_seed: a seed; without, the same examples each time.
        """

        @settings(
            max_examples=examples,
            derandomize=random_seed is None,
            database=None,
            deadline=None,
            suppress_health_check=[*HealthCheck],
            phases=[Phase.generate, Phase.shrink],
        )
        @given(part.draws)
        def send(drawn: Any) -> None:
            self._runner.run(part.act(drawn))

        (send if random_seed is None else seed(random_seed)(send))()

    def _open(self, manager: AbstractAsyncContextManager[Any]) -> Any:
        opened = self._runner.run(manager.__aenter__())
        self._exits.callback(lambda: self._runner.run(manager.__aexit__(None, None, None)))
        return opened


def _send_commands(target: Target) -> Act:
    async def send_command(text: str) -> None:
        await target.send("slash_commands", command(target, text), answered=True)

    return send_command


def _recipes() -> st.SearchStrategy[tuple[str, list[Mutation], bool]]:
    return st.tuples(st.sampled_from(sorted(MAKERS)), mutations, st.booleans())


def _send_payloads(target: Target) -> Act:
    async def mutation(drawn: tuple[str, list[Mutation], bool]) -> None:
        name, recipe, addressed = drawn
        kind, make = MAKERS[name]
        payload = mutated(make(target), recipe, ADDRESS if addressed else ())
        await target.send(kind, payload, answered=addressed and name in EXPECTING_AN_ANSWER)

    return mutation


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, str]:
    """A body that is signed, and its content type."""
    content_type = draw(st.sampled_from(CONTENT_TYPES))
    match draw(st.integers(0, 3)):
        case 0:
            return draw(st.binary(max_size=500)), content_type
        case 1:
            return draw(st.sampled_from(BROKEN_BODIES)), content_type
        case 2:
            fields = draw(st.lists(st.tuples(_fields, st.one_of(_values, anything)), max_size=8))
            return urlencode(fields).encode(), content_type
        case _:
            whole = urlencode({"payload": json.dumps({"type": draw(_kinds), "user": {"id": "U1"}})})
            return whole[: draw(st.integers(0, len(whole)))].encode(), content_type


_fields = st.sampled_from(["command", "text", "user_id", "payload", "ssl_check", "token", ""])
_values = st.sampled_from(["/cancel-restore", "/other", "U0RINA0001", "{}", "1", *ODD_TEXTS[:12]])
_envelopes = st.sampled_from(["slash_commands", "interactive", "events_api", "x", "hello"])
_kinds = st.sampled_from(["block_actions", "view_submission", "shortcut", "view_closed", "x"])


def _send_bodies(target: Target) -> Act:
    async def post(drawn: tuple[bytes, str]) -> None:
        await target.send_body(*drawn)

    return post


@st.composite
def frames(draw: st.DrawFn) -> str | bytes:
    """A frame of Socket Mode that is an envelope, or nearly; nothing that ends the connection."""
    envelope = {
        "envelope_id": draw(st.uuids().map(str)),
        "type": draw(
            st.sampled_from(["slash_commands", "interactive", "events_api", "x", "hello"])
        ),
        "accepts_response_payload": True,
        "payload": {"type": draw(_kinds), "user": {"id": "U1"}, "actions": [{}]},
        "retry_attempt": 1,
        "retry_reason": "timeout",
    }
    text = json.dumps(mutated(envelope, draw(mutations)))
    match draw(st.integers(0, 4)):
        case 0:
            return draw(st.binary(max_size=200))
        case 1:
            return draw(st.sampled_from(["", "null", "[]", "[" * 50_000, "7", '"x"', "{}", "NaN"]))
        case 2:
            return text.encode()
        case _:
            return text


def _send_frames(target: Target) -> Act:
    async def frame(drawn: str | bytes) -> None:
        await target.send_frame(drawn)
        await target.send("slash_commands", command(target, "help"), answered=True)

    return frame


def calls() -> st.SearchStrategy[tuple[list[Answer], str, bool, bool]]:
    """Answers of Atlas, the call, whether in envelopes, and whether it logs in first."""
    given_answers = st.lists(fuzz_atlas.answers(), min_size=1, max_size=3)
    return st.tuples(given_answers, st.sampled_from(fuzz_atlas.CALLS), st.booleans(), st.booleans())


def _call_atlas(atlas: MalformedAtlas) -> Act:
    async def call(drawn: tuple[list[Answer], str, bool, bool]) -> None:
        answers, which, envelope, login = drawn
        given = [fuzz_atlas.ASKS_FOR_LOGIN, *answers] if login else answers
        await fuzz_atlas.call(atlas, given, which, envelope=envelope)

    return call
