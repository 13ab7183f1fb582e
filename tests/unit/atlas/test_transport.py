"""Requests use the proxy of the environment, except to this machine."""

import httpx
import pytest

from bot.atlas.transport import proxy_for

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
