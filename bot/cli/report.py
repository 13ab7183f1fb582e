"""`cancel-restore doctor --report`: what may be sent to others, of known words and numbers only."""

import inspect
import math
import platform
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

from sqlalchemy.engine import make_url

from bot.atlas import DigestKey
from bot.atlas import errors as atlas_errors
from bot.atlas.key_access import CANCEL_ROLES, OTHER_ROLES
from bot.cancellation.errors import DatabaseUnreadable
from bot.cancellation.events import EventName, Recorded, readable_fields
from bot.cancellation.people import People
from bot.cancellation.policy import Mode, Policy
from bot.cli.audit import missing_file
from bot.doctor.results import CheckResult
from bot.settings import Settings
from bot.settings.load import KNOWN_VARIABLES
from bot.settings.policy import PolicyHolder
from bot.slack.errors import ERROR_CODES, REASONS
from bot.slack.manifest import SCOPES
from bot.storage.audit_log import NOT_KNOWN, AuditLog, read_summary
from bot.storage.database import Database, wall_clock
from bot.storage.migrate import SchemaError, known_version
from bot.storage.verification import DAMAGE

READ_FIRST = (
    "Please read this before you send it. It consists of the program's own words and of numbers: "
    "no secret, name, e-mail address, id or address of yours should be in it."
)
MAX_REQUESTS = 20  #: the last ones, whose steps are listed
HISTORY = timedelta(days=30)  #: how far back requests and downloads are read

#: The words of a check's text that are repeated: names of settings, roles, scopes, error codes of
#: the services, and the exceptions of a request to a receiver.
KNOWN_WORDS = frozenset(
    {
        *KNOWN_VARIABLES,
        *(field.name for field in fields(Policy) if "_" in field.name),
        *("ConnectError", "ConnectTimeout", "ReadError", "ReadTimeout", "RemoteProtocolError"),
        *(CANCEL_ROLES | OTHER_ROLES),
        *(scope for scope in SCOPES if ":" in scope),
        *atlas_errors.BY_CODE,
        *(code for codes in (*ERROR_CODES.values(), REASONS) for code in codes if "_" in code),
    }
)
_WORD = re.compile(r"[\w:.]*\w")
#: The form of Atlas's error codes, which are constants of its API.
_ATLAS_CODE = re.compile(r"[A-Z]+(?:_[A-Z]+)+")


#: The names of Atlas's errors by the sentence with which a check repeats them.
ERRORS = {
    each.sentence: name
    for name, each in vars(atlas_errors).items()
    if inspect.isclass(each) and issubclass(each, atlas_errors.AtlasError)
}


@dataclass(frozen=True, slots=True)
class History:
    """What the database has of `HISTORY`."""

    requests: Sequence[Sequence[Recorded]] = ()  #: the events of each of the last requests
    downloads: Sequence[Mapping[str, Any]] = ()  #: figures of each project, as `audit summary` has
    damage: str = ""  #: how many rows are not counted, or the error that ended the reading


async def read_history(settings: Settings) -> History:
    """Read the last requests and downloads; nothing where the database cannot be read."""
    url = settings.database_url.get_secret_value()
    if missing_file(url):
        return History()
    since = wall_clock() - HISTORY
    database = Database(url, read_only=True)
    try:
        if not await database.read_snapshot(known_version):
            return History()
        events: dict[str, list[Recorded]] = {}
        async for event in AuditLog(database).events(since):
            if event.request and event.event in set(EventName):
                events.setdefault(event.request, []).append(event)
        found = await database.read_snapshot(lambda db: read_summary(db, since))
        damage = f"{len(found.damaged)} not counted" if found.damaged else ""
        return History(deque(events.values(), MAX_REQUESTS), found.projects, damage)
    except (DatabaseUnreadable, SchemaError):  # the check of the database reports it
        return History()
    except DAMAGE as error:
        return History(damage=type(error).__name__)
    finally:
        await database.close()


def report_lines(
    results: Sequence[CheckResult], settings: Settings, history: History
) -> Iterator[str]:
    """Return the report (pure, save for the versions of the program and the machine)."""
    yield from (READ_FIRST, "")
    yield (
        f"cancel-restore {version('cancel-restore')}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}"
    )
    yield from ("", "Settings", *(f"  {line}" for line in _settings(settings)))
    checks = Counter(map(_check, results))
    yield from ("", "Checks", *(f"  {each}, {count} ×" for each, count in checks.items()))
    if history.damage:
        yield from ("", f"A row of the database is damaged ({history.damage}): see `audit verify`.")
    if history.downloads:
        yield from ("", "Downloads that the watch saw, a project each")
        yield from (f"  {_numbers(figures)}" for figures in history.downloads)
    if history.requests:
        yield from ("", "Last requests and downloads, with the seconds since each began")
        yield from (f"  {' · '.join(_steps(events))}" for events in history.requests)


def _settings(settings: Settings) -> Iterator[str]:
    database = make_url(settings.database_url.get_secret_value()).get_backend_name()
    slack = "Socket Mode" if settings.socket_mode else "HTTP mode or not set up"
    webhook = ", audit webhook" if settings.audit_webhook else ""
    atlas = f"Atlas {settings.atlas.api_version}{', envelope' * settings.atlas.envelope}"
    yield f"Slack: {slack}; {atlas}; {database}{webhook}"
    yield (
        f"watch_interval {_shape(settings.watch_interval)}, "
        f"events_interval {_shape(settings.events_interval)}"
    )
    yield from (f"project: {_policy(each)}" for each in settings.projects)
    yield from (f"organization: {_policy(each)}" for each in settings.organizations)


def _policy(holder: PolicyHolder) -> str:
    """Return the kind of credentials, and the shape of each rule that is not the default."""
    kind = "API key" if isinstance(holder.credentials, DigestKey) else "service account"
    default = holder.policies.default
    entries = (", ".join(_rules(each.policy, default)) for each in holder.policies.clusters)
    rules = _rules(default, Policy())
    return ", ".join((kind, *rules, *(f"some clusters ({rules})" for rules in entries)))


def _rules(rules: Policy, default: Policy) -> Iterator[str]:
    for name in (field.name for field in fields(rules)):
        if (value := getattr(rules, name)) != getattr(default, name):
            yield f"{name} {_shape(value)}"


def _shape(value: object) -> str:
    """Return a number, a switch or a mode as it is; of ids and names only how many there are."""
    match value:
        case Mode() | bool() | int():
            return str(value).lower()
        case timedelta():
            return f"{value.total_seconds():.0f} s"
        case People():
            named = f"people {len(value.users)}, groups {len(value.groups)}"
            return "everyone" if value.everyone else named
        case frozenset() | tuple():
            return f"{len(value)} of them"
    return "set"


def _check(result: CheckResult) -> str:
    text = f"{result.subject} {result.message}"
    errors = [name for sentence, name in ERRORS.items() if sentence in text]
    words = [w for w in _WORD.findall(text) if w in KNOWN_WORDS]
    return " ".join((result.check, result.level, *errors, *dict.fromkeys(words)))


def _numbers(figures: Mapping[str, Any]) -> str:
    by = Counter(figures["by"])
    known = {"starter_known": by.total() - by[NOT_KNOWN]}
    numbers = {name: n for name, n in figures.items() if isinstance(n, int | float)} | known
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def _steps(events: Sequence[Recorded]) -> Iterator[str]:
    """Yield each event with its time since the first, and Atlas's status and code."""
    begin = _seconds(events[0])
    for event in events:
        since = f"{_seconds(event) - begin:.1f}"
        yield " ".join((event.event, since, *_answer(readable_fields(event)[0])))


def _seconds(event: Recorded) -> float:
    """Return the event's time as a number; NaN where it is damaged."""
    try:
        return datetime.fromisoformat(event.at).timestamp()
    except DAMAGE:
        return math.nan


def _answer(fields: Mapping[str, Any]) -> Iterator[str]:
    status, code = fields.get("status"), fields.get("code")
    if isinstance(status, int):
        yield str(status)
    if isinstance(code, str) and _ATLAS_CODE.fullmatch(code):
        yield code
