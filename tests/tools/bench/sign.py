"""Signs a command as Slack does."""

from __future__ import annotations

import time
from urllib.parse import urlencode

from slack_sdk.signature import SignatureVerifier

#: The signing secret of the bot and peers; the environment variable overrides it.
SECRET = "a-signing-secret-of-the-benchmarks"

FORM = "application/x-www-form-urlencoded"


def command(text: str, trigger: str, response_url: str) -> bytes:
    """Return the body of `/cancel-restore TEXT`, with all fields that Slack sends."""
    fields = {
        "token": "not-used",
        "team_id": "T1",
        "team_domain": "shop",
        "channel_id": "C1",
        "channel_name": "ops",
        "user_id": "U1",
        "user_name": "rina",
        "command": "/cancel-restore",
        "text": text,
        "api_app_id": "A1",
        "is_enterprise_install": "false",
        "response_url": response_url,
        "trigger_id": trigger,
    }
    return urlencode(fields).encode()


def signed(secret: str, body: bytes) -> dict[str, str]:
    """Return the headers that a request with this body needs; Slack's own SDK signs."""
    now = str(int(time.time()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=now, body=body)
    return {
        "Content-Type": FORM,
        "X-Slack-Request-Timestamp": now,
        "X-Slack-Signature": str(signature),
    }
