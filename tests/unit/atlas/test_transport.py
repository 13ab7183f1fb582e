"""Requests use the proxy of the environment, except to this machine, and verify certificates."""

import ssl

import httpx
import pytest

from bot.atlas.transport import open_transport, proxy_for
from tests.unit.atlas.strict_server import REF, StrictAtlas, client

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://cloud.example", {}, None),
        ("https://cloud.example", {"https_proxy": PROXY}, PROXY),
        ("https://cloud.example", {"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ("https://cloud.example", {"http_proxy": PROXY}, None),
        ("https://cloud.example", {"all_proxy": PROXY}, PROXY),
        ("https://cloud.example", {"https_proxy": PROXY, "no_proxy": "cloud.example"}, None),
        ("https://cloud.example", {"https_proxy": PROXY, "no_proxy": ".example"}, None),
        ("http://127.0.0.1:8080", {"http_proxy": PROXY, "all_proxy": PROXY}, None),
        ("http://localhost:8080", {"http_proxy": PROXY}, None),
        ("http://[::1]:8080", {"http_proxy": PROXY}, None),
        ("http://10.0.0.1", {"http_proxy": PROXY}, PROXY),
    ],
)
def test_proxy_comes_from_the_environment(
    url: str, environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert proxy_for(httpx.URL(url)) == proxy


async def test_given_transport_is_used_whatever_proxy_the_environment_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    atlas = StrictAtlas()

    async with client(atlas) as client_:
        await client_.restore_job(REF)

    assert atlas.statuses == [401, 200]


def test_certificate_and_name_of_the_server_are_verified() -> None:
    transport = open_transport("https://cloud.example")

    assert isinstance(transport, httpx.AsyncHTTPTransport)
    context = transport._pool._ssl_context
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
