"""A challenge is read tolerantly, and is either answerable or a reason why not."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.atlas.challenge import (
    Challenge,
    Unanswerable,
    is_stale,
    parse_challenges,
    select_challenge,
)
from bot.atlas.digest import Nonce
from tests.unit.atlas.strict import KEY

RECORDED = (
    'Digest realm="MMS Public API", domain="", nonce="2RsJ+8G/4QWfDxYyB6kCqz0Kx1mVtNhE", '
    'algorithm=MD5, qop="auth", stale=false'
)


def test_the_challenge_that_atlas_sends_is_read() -> None:
    challenge = select_challenge([RECORDED])

    assert challenge == Challenge(
        realm="MMS Public API", nonce="2RsJ+8G/4QWfDxYyB6kCqz0Kx1mVtNhE", qop="auth"
    )


def test_the_first_answerable_challenge_is_taken_in_the_servers_order() -> None:
    strong = 'Digest realm="r", nonce="a", algorithm=SHA-256, qop="auth"'
    weak = 'Digest realm="r", nonce="b", algorithm=MD5, qop="auth"'

    assert select_challenge([strong, weak]).algorithm == "SHA-256"
    assert select_challenge([f"{weak}, {strong}"]).algorithm == "MD5"


def test_several_schemes_on_one_line_are_told_apart() -> None:
    line = 'Negotiate abc==, Basic realm="a, b=c", Digest realm="r", nonce=n'

    assert list(parse_challenges(line)) == [
        ("Negotiate", {}),
        ("Basic", {"realm": "a, b=c"}),
        ("Digest", {"realm": "r", "nonce": "n"}),
    ]


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ('Basic realm="x"', "it asks for Basic"),
        ('Digest realm="r", nonce="n", qop="auth-int"', "its quality of protection is not auth"),
        ('Digest realm="r", nonce="n", algorithm=X', "its digest algorithm is not known"),
        ('Digest realm="r"', "its digest challenge has no realm or no nonce"),
        ("", "it does not say which login it asks for"),
    ],
)
def test_what_cannot_be_answered_says_why(header: str, why: str) -> None:
    with pytest.raises(Unanswerable) as caught:
        select_challenge([header])

    assert str(caught.value) == why


def test_stale_is_found_in_any_case() -> None:
    assert is_stale(['Digest realm="r", nonce="n", STALE="True"'])
    assert not is_stale([RECORDED])


@given(st.lists(st.text(max_size=200), max_size=3))
@example(["Digest realm=" + '"' * 50])
@example(['Digest realm="r", nonce="n\\x", qop="auth"'])
@example(['Digest realm="r", nonce="n", algorithm="md5-SESS", qop="auth-int,auth", opaque=""'])
def test_any_text_at_all_is_answered_or_refused_with_a_reason(headers: list[str]) -> None:
    _answered_or_unanswerable(headers)


_names = st.sampled_from(["Digest", "Basic", "realm", "nonce", "qop", "algorithm", "opaque"])
_values = st.sampled_from(["MD5", "SHA-256", "auth", "auth-int", "x", "é", "{"])
_marks = st.sampled_from(["=", "==", ",", '"', "\\", " ", "\t"])


@given(st.lists(_names | _values | _marks, max_size=40).map("".join))
def test_text_made_of_a_challenges_own_words_is_answered_or_refused(header: str) -> None:
    _answered_or_unanswerable([f'Digest realm="r", nonce="n", {header}', header])


_printable = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'))


@given(realm=_printable, nonce=_printable.filter(bool), opaque=_printable)
def test_what_is_answerable_comes_back_as_it_was_sent(realm: str, nonce: str, opaque: str) -> None:
    header = f'Digest realm="{realm}", nonce="{nonce}", opaque="{opaque}", qop="auth"'
    signed = _signed(select_challenge([header]))

    assert f'realm="{realm}"' in signed
    assert f'nonce="{nonce}"' in signed
    assert (f'opaque="{opaque}"' in signed) is bool(opaque)


def _answered_or_unanswerable(headers: list[str]) -> None:
    try:
        challenge = select_challenge(headers)
    except Unanswerable as error:
        said = str(error)
    else:
        said = _signed(challenge)

    assert said.startswith(('Digest username="abcdefgh", ', "it"))


def _signed(challenge: Challenge) -> str:
    request = httpx.Request("GET", "https://cloud.example/api")
    Nonce(KEY, challenge).sign(request)
    return str(request.headers["Authorization"])
