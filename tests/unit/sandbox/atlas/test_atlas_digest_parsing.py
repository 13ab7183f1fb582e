"""Parsing of Digest headers, and the challenges of the fake Atlas."""

from datetime import UTC, datetime

import pytest

from bot.sandbox.atlas.auth.digest import DigestAuthenticator, DigestRefused, parse
from bot.sandbox.atlas.behaviour import Behaviour

NOW = datetime(2026, 11, 24, tzinfo=UTC)
GOOD = (
    'Digest username="u", realm="r", nonce="n+/", uri="/a?b=c,d", response="f", '
    'qop=auth, nc=00000001, cnonce="c", algorithm=MD5'
)


def test_quoted_and_bare_values_are_read() -> None:
    given = parse(GOOD)

    assert given["uri"] == "/a?b=c,d"
    assert given["nonce"] == "n+/"
    assert (given["qop"], given["nc"], given["algorithm"]) == ("auth", "00000001", "MD5")


@pytest.mark.parametrize(
    "header",
    [
        "Digest",
        "Digest username",
        GOOD.replace('"u"', '"u'),
        GOOD + ', uri="/twice"',
        GOOD.replace(", nc=00000001", ""),
        GOOD.replace('cnonce="c"', "cnonce="),
        GOOD + ", =x",
    ],
)
def test_header_out_of_order_is_rejected(header: str) -> None:
    with pytest.raises(DigestRefused):
        parse(header)


def test_challenge_names_its_algorithm() -> None:
    keeper = DigestAuthenticator(Behaviour(algorithm="SHA-256"))

    assert 'algorithm=SHA-256, qop="auth", stale=true' in keeper.challenge(NOW, stale=True)
