"""Challenges are parsed tolerantly; an unsupported one is reported with the reason."""

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.atlas.logins import (
    Nonce,
    UnsupportedChallenge,
    is_stale,
    parse_challenges,
    select_challenge,
)
from tests.unit.atlas.strict_server import KEY

RECORDED = (
    'Digest realm="MMS Public API", domain="", nonce="2RsJ+8G/4QWfDxYyB6kCqz0Kx1mVtNhE", '
    'algorithm=MD5, qop="auth", stale=false'
)


def test_empty_quality_of_protection_is_that_of_rfc_2069() -> None:
    challenge = select_challenge(['Digest realm="r", nonce="n", qop=""'])

    assert "qop" not in _signed(challenge)


def test_first_supported_challenge_is_selected() -> None:
    strong = 'Digest realm="r", nonce="a", algorithm=SHA-256, qop="auth"'
    weak = 'Digest realm="r", nonce="b", algorithm=MD5, qop="auth"'

    assert "SHA-256" in select_challenge([strong, weak])
    assert "MD5" in select_challenge([f"{weak}, {strong}"])


def test_several_schemes_in_one_header_are_parsed() -> None:
    line = 'Negotiate abc==, Basic realm="a, b=c", Digest realm="r", nonce=n'

    assert parse_challenges([line]) == [
        ("Negotiate", {"abc": "="}),
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
        ("", "it names no way to log in"),
    ],
)
def test_unsupported_challenge_is_reported_with_the_reason(header: str, why: str) -> None:
    with pytest.raises(UnsupportedChallenge) as caught:
        select_challenge([header])

    assert str(caught.value) == why


def test_stale_is_case_insensitive() -> None:
    assert is_stale(['Digest realm="r", nonce="n", STALE="True"'])
    assert not is_stale([RECORDED])


@given(st.lists(st.text(max_size=200), max_size=3))
@example(["Digest realm=" + '"' * 50])
@example(['Digest realm="r", nonce="n\\x", qop="auth"'])
@example(['Digest realm="r", nonce="n", algorithm="md5-SESS", qop="auth-int,auth", opaque=""'])
def test_any_header_is_answered_or_reported(headers: list[str]) -> None:
    _answered_or_unanswerable(headers)


_names = st.sampled_from(["Digest", "Basic", "realm", "nonce", "qop", "algorithm", "opaque"])
_values = st.sampled_from(["MD5", "SHA-256", "auth", "auth-int", "x", "é", "{"])
_marks = st.sampled_from(["=", "==", ",", '"', "\\", " ", "\t"])


@given(st.lists(_names | _values | _marks, max_size=40).map("".join))
def test_any_combination_of_challenge_tokens_is_answered_or_reported(header: str) -> None:
    _answered_or_unanswerable([f'Digest realm="r", nonce="n", {header}', header])


_printable = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'))


@given(realm=_printable, nonce=_printable.filter(bool), opaque=_printable)
def test_realm_nonce_and_opaque_are_sent_back_unchanged(
    realm: str, nonce: str, opaque: str
) -> None:
    header = f'Digest realm="{realm}", nonce="{nonce}", opaque="{opaque}", qop="auth"'
    signed = _signed(select_challenge([header]))

    assert f'realm="{realm}"' in signed
    assert f'nonce="{nonce}"' in signed
    assert (f'opaque="{opaque}"' in signed) is bool(opaque)


def _answered_or_unanswerable(headers: list[str]) -> None:
    try:
        challenge = select_challenge(headers)
    except UnsupportedChallenge as error:
        text = str(error)
    else:
        text = _signed(challenge)

    assert text.startswith(('Digest username="abcdefgh", ', "it"))


def _signed(challenge: str) -> str:
    request = httpx.Request("GET", "https://cloud.example/api")
    Nonce(KEY, challenge).sign(request)
    return str(request.headers["Authorization"])
