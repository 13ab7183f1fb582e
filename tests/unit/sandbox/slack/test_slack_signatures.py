"""Requests are signed as Slack's documentation shows."""

from urllib.parse import urlencode

from bot.sandbox.slack import signed_headers


def test_example_of_slacks_documentation_has_its_signature() -> None:
    """docs.slack.dev, authentication/verifying-requests-from-slack."""
    fields = {
        "token": "xyzz0WbapA4vBCDEFasx0q6G",
        "team_id": "T1DC2JH3J",
        "team_domain": "testteamnow",
        "channel_id": "G8PSS9T3V",
        "channel_name": "foobar",
        "user_id": "U2CERLKJA",
        "user_name": "roadrunner",
        "command": "/webhook-collect",
        "text": "",
        "response_url": (
            "https://hooks.slack.com/commands/T1DC2JH3J/397700885554/96rGlfmibIGlgcZRskXaIFfN"
        ),
        "trigger_id": "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
    }
    secret = "8f742231b10e8888abcd99yyyzzz85a5"

    headers = signed_headers(secret, urlencode(fields).encode(), 1531420618.9, "text/plain")

    assert headers["X-Slack-Request-Timestamp"] == "1531420618"
    assert headers["X-Slack-Signature"] == (
        "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    )
