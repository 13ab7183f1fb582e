"""What is thrown at what: each part draws with hypothesis and acts on something that runs."""

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

from tests.tools.campaign import fuzz_atlas
from tests.tools.campaign.fuzz_environment import ADDRESS, MAKERS, SPOKEN_TO, command, under_fire
from tests.tools.campaign.fuzz_shapes import ODD_TEXTS, Mutation, anything, bends, bent, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from tests.tools.campaign.fuzz_atlas import Answer, OddAtlas
    from tests.tools.campaign.fuzz_environment import Target

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
    """Everything under fire, in one event loop that runs while something is acted."""

    def __init__(self) -> None:
        self._exits = ExitStack()
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._exits.enter_context(self._runner)
        return self

    def __exit__(self, *_error: object) -> None:
        self._exits.close()

    def bot(self, *, http: bool) -> list[Part]:
        """Start a bot, and return what can be thrown at it."""
        folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-")))
        target = self._open(under_fire(folder, http=http))
        way = "HTTP" if http else "Socket Mode"
        parts = [
            Part(f"commands over {way}", typed(), _saying(target)),
            Part(f"payloads over {way}", _recipes(), _bending(target)),
        ]
        if http:
            return [*parts, Part("bodies over HTTP", bodies(), _posting(target))]
        return [*parts, Part("frames over Socket Mode", frames(), _framing(target))]

    def atlas(self) -> list[Part]:
        """Start an Atlas that answers as it is told, and return what the client is to bear."""
        return [Part("answers of Atlas", calls(), _calling(self._open(fuzz_atlas.odd_atlas())))]

    def run_part(self, part: Part, examples: int, dice: int | None = None) -> None:
        """Throw so many examples; raises what was found, made as small as it goes.

        Args:
            part: what to throw.
            examples: how many.
            dice: a seed; without, the same examples each time.
        """

        @settings(
            max_examples=examples,
            derandomize=dice is None,
            database=None,
            deadline=None,
            suppress_health_check=[*HealthCheck],
            phases=[Phase.generate, Phase.shrink],
        )
        @given(part.draws)
        def throw(drawn: Any) -> None:
            self._runner.run(part.act(drawn))

        (throw if dice is None else seed(dice)(throw))()

    def _open(self, manager: AbstractAsyncContextManager[Any]) -> Any:
        opened = self._runner.run(manager.__aenter__())
        self._exits.callback(lambda: self._runner.run(manager.__aexit__(None, None, None)))
        return opened


def _saying(target: Target) -> Act:
    async def say(text: str) -> None:
        await target.throw("slash_commands", command(target, text), answered=True)

    return say


def _recipes() -> st.SearchStrategy[tuple[str, list[Mutation], bool]]:
    return st.tuples(st.sampled_from(sorted(MAKERS)), bends, st.booleans())


def _bending(target: Target) -> Act:
    async def bend(drawn: tuple[str, list[Mutation], bool]) -> None:
        name, recipe, addressed = drawn
        kind, make = MAKERS[name]
        payload = bent(make(target), recipe, ADDRESS if addressed else ())
        await target.throw(kind, payload, answered=addressed and name in SPOKEN_TO)

    return bend


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


def _posting(target: Target) -> Act:
    async def post(drawn: tuple[bytes, str]) -> None:
        await target.throw_body(*drawn)

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
    text = json.dumps(bent(envelope, draw(bends)))
    match draw(st.integers(0, 4)):
        case 0:
            return draw(st.binary(max_size=200))
        case 1:
            return draw(st.sampled_from(["", "null", "[]", "[" * 50_000, "7", '"x"', "{}", "NaN"]))
        case 2:
            return text.encode()
        case _:
            return text


def _framing(target: Target) -> Act:
    async def frame(drawn: str | bytes) -> None:
        await target.throw_frame(drawn)
        await target.throw("slash_commands", command(target, "help"), answered=True)

    return frame


def calls() -> st.SearchStrategy[tuple[list[Answer], str, bool, bool]]:
    """What Atlas answers, which call it is, whether in envelopes, and whether it logs in first."""
    given_answers = st.lists(fuzz_atlas.answers(), min_size=1, max_size=3)
    return st.tuples(given_answers, st.sampled_from(fuzz_atlas.CALLS), st.booleans(), st.booleans())


def _calling(atlas: OddAtlas) -> Act:
    async def call(drawn: tuple[list[Answer], str, bool, bool]) -> None:
        answers, which, envelope, login = drawn
        given = [fuzz_atlas.ASKS_FOR_LOGIN, *answers] if login else answers
        await fuzz_atlas.call(atlas, given, which, envelope=envelope)

    return call
