"""The parsers, each as a function of bytes that must not raise."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import SecretStr, ValidationError

from bot.atlas import DigestKey
from bot.atlas.errors import error_for, token_error_for
from bot.atlas.logins import Nonce, UnsupportedChallenge, is_stale, select_challenge
from bot.atlas.models import Cluster, Project, RestoreJob
from bot.atlas.protocol import has_next, parse_body, unwrap_envelope
from bot.services.projects import Projects
from bot.slack.client import Identity
from bot.slack.command.handlers import route, route_message
from bot.slack.command.views import invalid
from bot.slack.dialog.state import PICKERS, UnreadableDialog, read_state, selection, submit_problem
from bot.slack.grammar import InvalidCommand, parse
from bot.slack.payloads import interaction_of, read_object
from bot.slack.receivers.connection import read_envelope
from bot.slack.receivers.payloads import InvalidPayload, read_body, read_payload
from tests.tools.campaign.fuzzing import atlas as fuzz_atlas

if TYPE_CHECKING:
    from collections.abc import Callable

    Target = Callable[[bytes], None]

NO_PROJECTS = Projects(())
IDENTITY = Identity(user="U0BOT", bot="B0BOT", team="T0HOME", enterprise=None, url="https://x/")
KEY = DigestKey("public", SecretStr("private"))
FORM = "application/x-www-form-urlencoded"


def command(data: bytes) -> None:
    """The grammar of commands, up to the resulting message or dialog."""
    text = data.decode(errors="replace")
    found = parse(text)
    route(found, "C1", NO_PROJECTS, text)
    if isinstance(found, InvalidCommand):
        assert invalid(found)


def challenge(data: bytes) -> None:
    """A WWW-Authenticate header, and the signature that answers it."""
    header = data.decode("latin-1")
    is_stale([header])
    try:
        chosen = select_challenge([header, header])
    except UnsupportedChallenge as why:
        assert str(why)  # noqa: PT017 - any refusal is good, with its reason
        return
    request = httpx.Request("GET", "https://cloud.mongodb.com/api/atlas/v2/groups")
    Nonce(KEY, chosen).sign(request)
    request.headers["Authorization"].encode("ascii")


def body(data: bytes) -> None:
    """A body from Slack, and the fields that Bolt and the listeners read."""
    for content_type in (FORM, "application/json"):
        try:
            payload = read_body(content_type, None, data).body
        except InvalidPayload:
            continue
        if "user" in payload or "user_id" in payload:
            _read_as_listeners_do(payload)


def _read_as_listeners_do(payload: dict[str, Any]) -> None:
    assert interaction_of(payload, IDENTITY).channel
    _read_dialog(payload.get("view") or {})


def _read_dialog(view: dict[str, Any]) -> None:
    with suppress(UnreadableDialog):
        submit_problem(view, read_state(view))
    for last in PICKERS:
        with suppress(UnreadableDialog):
            selection(view, last)


def frame(data: bytes) -> None:
    """A frame of Socket Mode."""
    envelope = read_envelope(read_object(data))
    if envelope is not None:
        with suppress(InvalidPayload):
            read_payload(envelope)


def answer(data: bytes) -> None:
    """An answer of Atlas: models, pages, envelopes, and errors with their sentences."""
    status, payload = unwrap_envelope(200, parse_body(data))
    assert 100 <= status <= 599
    for model in (RestoreJob, Cluster, Project):
        try:
            read = model.model_validate(payload)
        except ValidationError:
            continue
        fuzz_atlas.check(read, data)
    if isinstance(payload, dict):
        has_next(payload)
    for number in (302, 400, 401, 404, 405, 429, 503):
        error = error_for(number, {}, payload, "DELETE /x")
        fuzz_atlas.check(error, data)
        fuzz_atlas.check(token_error_for(number, {}, payload, "POST /x"), data)


def metadata(data: bytes) -> None:
    """The metadata of a dialog."""
    _read_dialog({"private_metadata": data.decode(errors="replace")})


def message(data: bytes) -> None:
    """A message on which the shortcut is used."""
    text = data.decode(errors="replace")
    route_message({"text": text}, "C1", NO_PROJECTS)
    found = parse_body(data)
    if isinstance(found, dict):
        route_message(found, "C1", NO_PROJECTS)


#: Each with a few whole inputs to begin with.
TARGETS: dict[str, tuple[Target, tuple[bytes, ...]]] = {
    "command": (
        command,
        (
            b"prod-eu 5b622f9287d9d6039aa3fd87",
            b"shop/prod-eu 5b622f9287d9d6039aa3fd87",
            b"<https://cloud.mongodb.com/v2/5b6212af90dc76637950a2c6#/clusters/a|here> list",
            b"history 20",
            "“list” prod–eu".encode(),
        ),
    ),
    "challenge": (challenge, tuple(c.encode("latin-1") for c in fuzz_atlas.CHALLENGES[:14])),
    "body": (
        body,
        (
            b"command=%2Fcancel-restore&text=list&user_id=U1&team_id=T1&channel_id=C1",
            (
                b"payload=%7B%22type%22%3A%22view_submission%22%2C%22user%22%3A%7B%22id%22%3A%22U1%22"
                b"%7D%2C%22view%22%3A%7B%22id%22%3A%22V1%22%2C%22type%22%3A%22modal%22%2C"
                b"%22callback_id%22%3A%22x%22%7D%7D"
            ),
            b'{"type":"event_callback","event":{"type":"app_home_opened","user":"U1"}}',
            b'{"type":"url_verification","challenge":"x"}',
        ),
    ),
    "frame": (
        frame,
        (
            (
                b'{"type":"interactive","envelope_id":"e","payload":{"type":"block_actions","user":'
                b'{"id":"U1"},"actions":[{"action_id":"a","block_id":"b"}]}}'
            ),
            b'{"type":"hello","num_connections":1}',
        ),
    ),
    "answer": (
        answer,
        tuple(
            json.dumps(each).encode()
            for each in (fuzz_atlas.JOB, fuzz_atlas.PAGE, fuzz_atlas.ERROR, fuzz_atlas.ENVELOPE)
        ),
    ),
    "metadata": (
        metadata,
        (
            (
                b'{"asked_in":"C1","project_id":"5b6212af90dc76637950a2c6","cluster":"a","job_id":'
                b'"5b622f9287d9d6039aa3fd87","has_pickers":true,"shown":{'
                b'"card_channel":"C1","because":null,"job":{"delivery_type":"download",'
                b'"snapshot_id":"x","snapshot_time":"2026-11-25T03:00:00+00:00",'
                b'"cancellable":true,"link_is_live":true}}}'
            ),
        ),
    ),
    "message": (
        message,
        (b'{"text":"x","blocks":[{"elements":[{"elements":[{"url":"https://x/clusters/a"}]}]}]}',),
    ),
}
