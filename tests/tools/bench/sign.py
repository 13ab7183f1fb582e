"""Signs a command as Slack does; as a program (`python -m tests.tools.bench.sign`).

It writes a signed body, and a script for wrk, into a folder, and prints a line for each program.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from slack_sdk.signature import SignatureVerifier

from tests.support.argument_types import count

#: The signing secret of the bot and peers; the environment variable overrides it.
SECRET = "a-signing-secret-of-the-benchmarks"

#: The download job of the example world that a command names.
CLUSTER = "prod-eu"
JOB = f"{CLUSTER} 65f0a1c2d3e4f5a6b7c80101"

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


def lua(requests: list[tuple[bytes, dict[str, str]]]) -> str:
    """Return a script that makes wrk send these requests repeatedly."""
    made = [
        f'wrk.format("POST", nil, {table(headers)}, "{body.decode()}"),'
        for body, headers in requests
    ]
    return LUA.replace("REQUESTS", "\n".join(made))


#: Runs when wrk starts, because the address is known then.
LUA = """local made, at = {}, 0
function init()
  made = {
REQUESTS
  }
end
function request()
  at = at % #made + 1
  return made[at]
end
"""


def table(headers: dict[str, str]) -> str:
    return "{" + ", ".join(f'["{name}"] = "{value}"' for name, value in headers.items()) + "}"


def commands(url: str, folder: Path, headers: dict[str, str]) -> list[str]:
    """Return the commands: 32 kept-alive connections, for 10 seconds or 20,000 requests."""
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    body, script = str(folder / "body"), str(folder / "signed.lua")
    return [
        shlex.join(each)
        for each in (
            ["wrk", "-t1", "-c32", "-d10s", "--latency", "-s", script, url],
            ["hey", "-n", "20000", "-c", "32", "-m", "POST", "-T", FORM, "-D", body, *given, url],
            ["h2load", "--h1", "-n", "20000", "-c", "32", "-d", body, *given, url],
        )
    ]


def address(given: str) -> str:
    """Return a URL that the programs can send to, for argparse."""
    try:
        url = urlsplit(given)
        whole = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:  # a port that is none
        whole = False
    if not whole or url.path in {"", "/"}:
        raise argparse.ArgumentTypeError(
            f"{given!r} is no address like http://127.0.0.1:3000/slack/events"
        )
    return given


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.bench.sign", description=__doc__)
    parser.add_argument("url", type=address, help="of the bot or a peer, with /slack/events")
    parser.add_argument("text", nargs="?", default=JOB, help="text after the command")
    parser.add_argument(
        "--different", type=count, default=1, metavar="N", help="commands that wrk sends in turn"
    )
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="signed-"))
    secret = os.environ.get("SLACK_SIGNING_SECRET") or SECRET
    begun = time.time_ns()
    triggers = (f"{begun}.{number}" for number in range(asked.different))
    bodies = [command(asked.text, each, "http://127.0.0.1:9/answers") for each in triggers]
    requests = [(body, signed(secret, body)) for body in bodies]
    (folder / "body").write_bytes(bodies[0])
    (folder / "signed.lua").write_text(lua(requests))
    sys.stdout.write("# valid for five minutes\n")
    sys.stdout.write("\n".join([*commands(asked.url, folder, requests[0][1]), ""]))


if __name__ == "__main__":
    main()
