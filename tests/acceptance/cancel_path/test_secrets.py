"""Everything that the program wrote or sent in a long session has no secret and no link."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.atlas import PLANTED_SECRET, PRIVATE_KEY, FakeAtlasServer, Fault, Kind
from bot.sandbox.atlas.example import CLIENT_ID, CLIENT_SECRET
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.environment import BotEnvironment, environment, open_process

DOWNLOADS = (
    ("prod-eu", "65f0a1c2d3e4f5a6b7c80102"),
    ("prod-us", "65f0a1c2d3e4f5a6b7c80201"),
    ("orders-sharded", "65f0a1c2d3e4f5a6b7c80401"),
)

#: Faults while a link is in the answer.
ODD: tuple[dict[str, Any], ...] = (
    {"kind": Kind.TRUNCATED, "method": "GET"},
    {"kind": Kind.WRONG_SHAPE, "method": "GET"},
    {"kind": Kind.CUT_BODY, "method": "GET"},
    {"kind": Kind.FORGET_NONCES, "method": "DELETE"},
    {"kind": Kind.FORGET_TOKENS, "method": "DELETE"},
    {"kind": Kind.REFUSE_KEY, "method": "DELETE"},
    {"kind": Kind.RESET_AFTER, "method": "DELETE"},
)


async def a_busy_session(env: BotEnvironment) -> None:
    """Read live links, cancel, fail, be refused, type nonsense, receive forged requests."""
    for cluster, job in DOWNLOADS:
        await env.open_dialog((cluster, job), "ada")
    asked = [env.new_job("orders-sharded", live=True) for _ in ODD]
    for each, fault in zip(asked, ODD, strict=True):
        await env.submit_request(each, Fault(path=each[1], **fault))
    await env.submit_request(DOWNLOADS[0], reason="the reason")
    for _, job in (*asked, DOWNLOADS[0]):
        await env.wait_for_outcome(job, seconds=30)
    await env.send_command("rina", "nonsense with no sense at all")
    await env.send_command("rina", "help")
    await env.wait_for_ephemerals("rina", 2)
    await forge(env)


async def forge(env: BotEnvironment) -> None:
    """Post to the bot without a signature; the answer may not help."""
    if not env.slack.http.request_url:
        return
    answer = await env.slack.http.post(b"payload=x", {"Content-Type": "application/json"})

    assert answer.status in (400, 401, 403)


def needles(env: BotEnvironment) -> dict[str, str]:
    """Return the texts that may appear nowhere."""
    slack = env.slack.workspace.app
    return {
        "download link": PLANTED_SECRET,
        "archive": ".tar.gz",
        "bot token": slack.bot_token,
        "app token": slack.app_token,
        "signing secret": slack.signing_secret,
        "private key": PRIVATE_KEY,
        "client secret": CLIENT_SECRET,
        "bearer token": "mdb_sandbox_at_",
    }


@pytest.mark.parametrize(
    ("form", "http", "account"),
    [("json", False, True), ("console", True, False)],
)
async def test_secrets_and_download_links_appear_nowhere(
    tmp_path: Path, form: str, http: bool, account: bool
) -> None:
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        environ = environment(slack, atlas, tmp_path)
        environ |= {"LOG_LEVEL": "DEBUG", "LOG_FORMAT": form}
        if http:
            del environ["SLACK_APP_TOKEN"]
            environ["SLACK_SIGNING_SECRET"] = slack.signing_secret
        if account:
            del environ["MONGODB_ATLAS_PUBLIC_API_KEY"], environ["MONGODB_ATLAS_PRIVATE_API_KEY"]
            environ["MONGODB_ATLAS_CLIENT_ID"] = CLIENT_ID
            environ["MONGODB_ATLAS_CLIENT_SECRET"] = CLIENT_SECRET
        async with open_process(slack, atlas, tmp_path, environ) as env:
            await a_busy_session(env)
            pages = [(await env.get(path))[1] for path in ("/metrics", "/readyz", "/healthz")]
            code = await env.bot.stop()
            places = {
                "log": env.bot.log,
                "slack": json.dumps([call.args for call in slack.calls]),
                "pages": "".join(pages),
                "acks": json.dumps([slack.state.ephemerals(user) for user in ("rina", "ada")]),
                "files": content(tmp_path),
            }

        assert code == 0
        assert re.findall(r"/(?:commands|actions)/T\w+/\w+|ticket=\w+", places["log"]) == []
        assert "Traceback" not in places["log"]
        assert places["log"].count("debug") + places["log"].count("DEBUG") > 50
        for place, text in places.items():
            for name, secret in needles(env).items():
                assert secret not in text, f"{name} in {place}: …{around(text, secret)}…"


def content(folder: Path) -> str:
    """Read the database with its journal, as bytes."""
    return "".join(file.read_bytes().decode("latin-1") for file in folder.iterdir())


def around(text: str, needle: str) -> str:
    at = text.index(needle)
    return text[max(0, at - 200) : at + len(needle) + 40]
