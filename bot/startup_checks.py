"""Checks database, port and Slack at the start; afterwards Slack, and what a reload changes."""

import asyncio
import hashlib
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from bot.atlas import AtlasError, AtlasRejected
from bot.cancellation.cluster_entries import unused_entries
from bot.cancellation.errors import CancellationError
from bot.cancellation.people import People
from bot.cancellation.policy import Policy
from bot.reload import by_partner
from bot.services.job_search import READ_TIMEOUT, JobFinder
from bot.services.projects import Project, Projects
from bot.settings import OrganizationSettings, PolicyHolder, Settings, SlackSettings, warnings
from bot.settings.model import AuditWebhookSettings
from bot.settings.policy import POLICY_KEYS
from bot.slack.client import Identity
from bot.slack.errors import InvalidToken, SlackError, SlackUnavailable
from bot.storage.database import cause_of
from bot.storage.migrate import SchemaError, ensure_current
from bot.tasks import log_errors, wait_up_to
from bot.web.server import WebError

SLACK_RETRY_INTERVAL = 2.0  #: seconds between attempts while Slack does not answer
PROJECT_RETRY_INTERVAL = 60.0  #: seconds between two attempts to read a project from Atlas
SLACK_ERRORS_TIMEOUT = 2.0  #: seconds to wait for Slack's errors when the start has failed already
SLACK_DOES_NOT_ANSWER = "Slack does not answer: check SLACK_API_URL and the network."

#: What to check besides DATABASE_URL, by the kind of database.
DATABASE_HINTS = {
    "sqlite": ", and that its folder exists and the bot's user may write in it",
    "postgresql": ", that the server runs, and that this account may log in and owns the tables",
}

# Seconds
AUTH_TEST_INTERVAL = 30.0  # between two tests in HTTP mode: a failure is noticed in a minute
TOKEN_TEST_PAUSE = 10.0  # after which a test may be due, or is repeated after a failure
LONGEST_TEST_AGE = 60.0  # for which the last test counts while the next one has no answer
ANSWER_TIMEOUT = 2.0  # for one call that tests whether Slack answers

PATIENCE = 3  #: comparisons in which settings files differ that are being changed one by one
OTHER_FILE = (
    "The settings file of this replica differs from that of the replica that leads: clicks are "
    "judged by the one, quarantine and reminders by the other. Give all replicas the same file."
)

log = structlog.get_logger(__name__)


class StartError(Exception):
    """The bot could not start; each line names one cause and the fix."""


async def run_steps(*steps: Callable[[], Awaitable[object]]) -> list[str]:
    """Run every step, one after the other, and return the errors of those that failed."""
    errors = []
    for step in steps:
        try:
            await step()
        except (StartError, WebError) as error:
            errors.append(str(error))
    return errors


async def migrate(database_url: str) -> None:
    """Update the database schema; raises `StartError` when the database cannot be opened."""
    try:
        await ensure_current(database_url)
    except SchemaError as error:
        raise StartError(f"The database of DATABASE_URL cannot be used. {error}") from error
    except (SQLAlchemyError, OSError) as error:
        hint = DATABASE_HINTS[make_url(database_url).get_backend_name()]
        raise StartError(
            f"The database cannot be opened ({cause_of(error)}): check DATABASE_URL{hint}."
        ) from error


async def authenticate_slack(
    client: AsyncWebClient, slack: SlackSettings, status: "TokenStatus"
) -> Identity:
    """Return the bot's identity; raises `StartError` with each token that Slack refuses."""
    identity = asyncio.ensure_future(wait_for_identity(client, status))
    errors = await run_steps(lambda: identity, lambda: check_app_token(client, slack))
    if errors:
        raise StartError("\n".join(errors))
    return identity.result()


async def wait_for_identity(client: AsyncWebClient, status: "TokenStatus") -> Identity:
    """Retry until Slack answers; raises `StartError` when it refuses the token."""
    while True:
        try:
            return Identity.of(await client.auth_test())
        except InvalidToken as error:
            raise StartError(
                f"Slack refuses SLACK_BOT_TOKEN ({error.code}): copy the Bot User OAuth Token "
                "again, in Slack's app under OAuth & Permissions."
            ) from error
        except SlackError as error:
            status.failure = SLACK_DOES_NOT_ANSWER
            log.warning(
                "Slack does not answer, retrying",
                why=error.sentence,
                what_to_do=SLACK_DOES_NOT_ANSWER,
            )
        await asyncio.sleep(SLACK_RETRY_INTERVAL)


async def check_app_token(client: AsyncWebClient, slack: SlackSettings) -> None:
    """Raise `StartError` when Slack refuses the app token; the receiver retries other errors."""
    if slack.app_token is None:
        return
    try:
        await client.apps_connections_open(app_token=slack.app_token.get_secret_value())
    except SlackError as error:
        if isinstance(error, InvalidToken):
            raise StartError(
                f"Slack refuses SLACK_APP_TOKEN ({error.code}): copy the App-Level Token again, "
                "in Slack's app under Basic Information; it needs the scope connections:write."
            ) from error


async def collect_slack_errors(authentication: asyncio.Task[Identity]) -> list[str]:
    """Return the errors of the authentication, for a start that has failed already."""
    done, _ = await asyncio.wait({authentication}, timeout=SLACK_ERRORS_TIMEOUT)
    return await run_steps(lambda: authentication) if done else [SLACK_DOES_NOT_ANSWER]


class TokenStatus:
    """Whether Slack accepts the bot token, from the last answer to any client that shares it.

    `auth.test` is repeated after `max_age` seconds, also if other calls have succeeded since. In
    Socket Mode it is infinite, because the connections show whether Slack answers.
    """

    def __init__(
        self, max_age: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_age, self._clock = max_age, clock
        self._answered_at = math.inf  # the last test; the start's own at the first call
        self.failure: str | None = None  #: of the start, or of the last test with an answer
        self.refused_with: str | None = None  # Slack's error code while it refuses the token

    def record(self, code: str | None) -> None:
        """Take the error code of an answer, or None for one without an error."""
        if code is None or code in InvalidToken.for_each_call:
            self.refused_with = code

    def problem(self) -> str | None:
        """Return why nothing can be posted."""
        if self.refused_with:
            return InvalidToken(self.refused_with).sentence
        is_old = self._max_age < LONGEST_TEST_AGE <= self._clock() - self._answered_at
        return self.failure or (SlackUnavailable.sentence if is_old else None)

    async def test_if_due(self, client: AsyncWebClient) -> None:
        """Test at the first call after `max_age`, and at each one after a failure."""
        self._answered_at = min(self._answered_at, self._clock())
        is_due = self._clock() - self._answered_at >= self._max_age
        if not (is_due or self.refused_with or self.failure):
            return
        try:
            await client.auth_test()  # which records a refusal of the token
            self._answered_at, self.failure = self._clock(), None
        except SlackError as error:
            is_late = isinstance(error.__cause__, TimeoutError)
            self.failure = None if is_late else error.sentence


async def answers(client: AsyncWebClient) -> bool:
    """Whether Slack answers a call now and accepts the token; a single lost call is repeated."""
    for _ in range(2):
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await client.auth_test()
                return True
        except (SlackError, TimeoutError) as error:
            if type(error) not in {SlackUnavailable, InvalidToken, TimeoutError}:
                return True
    return False


async def warn_of_unused_entries(
    projects: Projects, finder: JobFinder, check: asyncio.Event, interval: float
) -> None:
    """Warn once of each entry of clusters that applies to none; `check` asks to look again now."""

    async def clusters_of(project: Project) -> Collection[str] | None:
        try:
            clusters = await finder.clusters(project, timeout=READ_TIMEOUT)
        except (AtlasError, CancellationError):
            return None
        return None if clusters.unread else clusters

    warned: set[str] = set()
    while True:
        check.clear()
        with log_errors("entries of clusters not compared"):
            having = [each for each in projects.all if each.policies.clusters]
            lists = await asyncio.gather(*map(clusters_of, having))
            found = zip((e.name for e in having), (e.policies for e in having), lists, strict=True)
            sentences = [*unused_entries(found)]
            for sentence in [each for each in sentences if each not in warned]:
                log.warning("setting needs attention", why=sentence)
            warned = {*sentences}
        await wait_up_to(interval, check)


async def warn_of_other_file(
    file: str | None, leaders_file: Callable[[str], Awaitable[str]], interval: float
) -> None:
    """Warn once while the settings file differs from that of the replica that leads.

    `leaders_file` takes the digest of the own file, and returns that of the leader's.
    """
    differs = 0  # how often in a row
    while True:
        with log_errors("settings file not compared"):
            content = await asyncio.to_thread(Path(file).read_bytes) if file else b""
            own = hashlib.sha256(content).hexdigest()
            differs = differs + 1 if await leaders_file(own) != own else 0
            if differs == PATIENCE:
                log.warning(OTHER_FILE)
        await asyncio.sleep(interval)


async def load_project_names(projects: Projects, *, once: Iterable[Project] | None = None) -> None:
    """Read each project's name in Atlas, so that the log shows a wrong key before its first use.

    A command reads only some projects, and each `once`: its next call has the error.
    """

    async def load(project: Project) -> None:
        while True:
            try:
                found = await project.atlas.project(project.id)
            except AtlasError as error:
                log.warning(
                    "project cannot be read: cancel-restore doctor says what to check",
                    project=project.name,
                    why=str(error),
                )
                if once is not None or isinstance(error, AtlasRejected):
                    return
                await asyncio.sleep(PROJECT_RETRY_INTERVAL)
            else:
                projects.update(project.id, atlas_name=found.name)
                if project.name == project.id:
                    projects.update(project.id, name=found.name)
                return

    await asyncio.gather(*map(load, projects.all if once is None else once))


#: What is compared of a project or an organization, by the keys of the projects file.
KEYS = frozenset({*POLICY_KEYS, "name", "include", "exclude", "credentials", "clusters"})


def report_reload(old: Settings, now: Settings, wanted: Settings) -> None:
    """Log what a reload changed, what needs a restart, and new risks."""
    changed = [
        f"{title}: {key} {_shown(before)} → {_shown(after)}"
        for title, key, before, after in differences(old, now)
    ]
    log.info("settings reloaded", changed=changed, needs_restart=[*needs_restart(now, wanted)])
    for warning in sorted(set(warnings(now)) - set(warnings(old))):
        log.warning("setting needs attention", why=warning)


def differences(old: Settings, new: Settings) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield each value that differs between partners: the old title, the key, both values."""
    partners = by_partner(new.policy_holders)
    for place, before in by_partner(old.policy_holders).items():
        was, now = _values(before), _values(partners.get(place, before))
        for key in {**was, **now}:
            if was.get(key) != now.get(key):
                yield _title(before), key, was.get(key), now.get(key)


def needs_restart(now: Settings, wanted: Settings) -> Iterator[str]:
    """Yield what the settings ask for that only a restart does, without the values."""
    was, will_be = _variables(now), _variables(wanted)
    yield from (name for name in {**was, **will_be} if was.get(name) != will_be.get(name))
    before, after = by_partner(now.policy_holders), by_partner(wanted.policy_holders)
    for what, own, other in (("new", after, before), ("removed", before, after)):
        yield from dict.fromkeys(f"{what}: {_title(own[key])}" for key in own if key not in other)
    yield from (f"{key} of {title}" for title, key, *_ in differences(now, wanted))


def _title(holder: PolicyHolder) -> str:
    is_organization = isinstance(holder, OrganizationSettings)
    return f"organization {holder.identity}" if is_organization else holder.label


def _variables(settings: Settings) -> dict[str, Any]:
    """Return the values that belong to no project or organization, by their variables."""
    webhook = settings.audit_webhook or AuditWebhookSettings()
    return {
        str(field.alias): getattr(part, name)
        for part in (settings, settings.slack, settings.atlas, webhook)
        for name, field in type(part).model_fields.items()
        if field.description
    }


def _values(holder: PolicyHolder) -> dict[str, Any]:
    """Return what `KEYS` name, and of entries of clusters what differs from the project's."""
    rules = _rules(holder.policies.default)
    values = {**dict(holder), "name": _title(holder), **rules, "clusters": ()}
    for each in holder.policies.clusters:
        names = ", ".join(each.names)
        values["clusters"] += (f"[{names}]",)
        own = _rules(each.policy).items()
        values |= {f"clusters {names}: {key}": value for key, value in own if value != rules[key]}
    return {key: value for key, value in values.items() if key.partition(" ")[0] in KEYS}


def _rules(policy: Policy) -> dict[str, Any]:
    """Return the rules after all defaults, by the keys of the projects file."""
    keys = (each.name for each in fields(policy) if each.name in {*KEYS, "note"})
    return {key: getattr(policy, key) for key in keys}


def _shown(value: object) -> str:
    match value:
        case People():
            return ", ".join(["*"] * value.everyone + sorted(value.users | value.groups)) or "none"
        case timedelta():
            return f"{value.total_seconds():.0f}"
        case tuple():
            return ", ".join(map(_shown, value)) or "none"
        case frozenset():
            return ", ".join(sorted(value)) or "none"
        case bool():
            return str(value).lower()
    return "not set" if value is None else str(value) or "none"
