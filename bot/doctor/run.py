"""Runs all checks, and those of database, port and webhook; different services concurrently."""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from sqlalchemy import URL, Connection, NullPool, create_engine, false, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from bot.cancellation.cluster_entries import unused_entries
from bot.doctor.atlas import check_organizations, check_project
from bot.doctor.results import CheckResult, within
from bot.doctor.slack import BOT_TOKEN, check_slack
from bot.settings import AuditWebhookSettings, ProjectSettings, Settings, warnings
from bot.storage.database import cause_of, open_executor, wall_clock
from bot.storage.migrate import NEWEST, SchemaError, known_version
from bot.storage.sqlite import check_writable
from bot.storage.tables import metadata
from bot.web.server import PortTaken, WebError, WebServer

#: Seconds for everything about one service; the checks in it have shorter limits of their own.
SERVICE_TIMEOUT = 60.0
DATABASE_TIMEOUT = 5  #: seconds to wait for the database, or for a lock in it
DATABASE = CheckResult("database", "DATABASE_URL", "Database")
#: Its effect is rolled back.
PROBE = text("CREATE TABLE cancel_restore_doctor (probe INTEGER)")
EMPTY = "it opens, is writable, and is empty: `serve` creates the tables when it starts"
PORT = CheckResult("http", "HOST, PORT", "HTTP")
WATCH = CheckResult("watch", "watch", "Atlas")
ATLAS = CheckResult("atlas", "MONGODB_ATLAS_BASE_URL", "Atlas")
SETTINGS = CheckResult("settings", "settings", "Settings")
WEBHOOK = CheckResult("audit_webhook", "BOT_AUDIT_WEBHOOK_URL", "HTTP")
#: The groups of results by their first word, in the order of the report.
GROUPS = ("Slack", "Atlas", "Database", "HTTP", "Project", "Settings")

#: The result in place of the checks of Slack, where no setting of Slack is given.
NO_SLACK = CheckResult("slack", "Slack", "Slack").warning(
    "it is not set up yet; list, show and cancel on the command line do not need it",
    "For serve: create the app from the output of `cancel-restore manifest`, then set "
    "SLACK_BOT_TOKEN and SLACK_APP_TOKEN.",
)


async def run_checks(
    settings: Settings,
    *,
    now: Callable[[], datetime] = wall_clock,
    found: Sequence[CheckResult] = (),
) -> list[CheckResult]:
    """Check everything that `settings` need; nothing is changed, a webhook gets a test event.

    With results `found` already, which say why it cannot be used, Slack is not checked.
    """
    checks = [
        within(DATABASE, check_database(settings.database_url.get_secret_value())),
        within(PORT, check_port(settings.host, settings.port)),
    ]
    organizations, selected = await check_organizations(settings)
    clusters: dict[str, Sequence[str]] = {}
    for project in selected:
        checking = check_project(settings, project, now, clusters)
        checks.append(within(ATLAS, checking, SERVICE_TIMEOUT))
    if not found:
        checks.append(within(BOT_TOKEN, check_slack(settings, now), SERVICE_TIMEOUT))
    if settings.audit_webhook:
        checks.append(within(WEBHOOK, check_audit_webhook(settings.audit_webhook)))
    checked = chain.from_iterable(await asyncio.gather(*checks))
    entries = ((each.label, each.policies, clusters.get(each.id)) for each in selected)
    risks = settings_risks([*warnings(settings), *unused_entries(entries)])
    unwatched = not_watched(selected, clusters)
    results = [*found, *checked, *organizations, *unwatched, *risks]
    # A result that all projects share is kept once.
    return sorted(dict.fromkeys(results), key=lambda each: GROUPS.index(each.group.split()[0]))


def not_watched(
    projects: Iterable[ProjectSettings], clusters: Mapping[str, Sequence[str]]
) -> list[CheckResult]:
    """Name the projects, and the clusters of others, whose downloads are not on record."""
    places: list[str] = []
    for project in projects:
        names = [
            name
            for name in clusters.get(project.id, ())
            if not project.policies.of(name).is_watched
        ]
        if not any(policy.is_watched for policy in project.policies.all):
            places.append(project.label)
        elif names:
            places.append(f"{', '.join(names)} of {project.label}")
    what = "; ".join(places)
    follows = (
        "no watch channel is set, so a new download there is neither announced nor on record, "
        "and is cancelled only if people ask for it"
    )
    return [WATCH.ok(f"it does not watch {what}: {follows}")] if places else []


async def check_database(database_url: str) -> CheckResult:
    url = make_url(database_url)
    is_file = url.get_backend_name() == "sqlite"
    if is_file and (found := _check_missing_file(Path(url.database or ""))):
        return found
    try:
        async with asyncio.timeout(3 * DATABASE_TIMEOUT):
            check = asyncio.to_thread(_check_file, url) if is_file else _check_server(url)
            return await check
    except (SQLAlchemyError, OSError) as error:
        return DATABASE.problem(
            f"it cannot be used ({cause_of(error)[:200]})",
            "Check the address, that the server runs, that the disk has room, and that this "
            "account may write and owns the tables.",
        )


def _check_missing_file(path: Path) -> CheckResult | None:
    """Check that a missing SQLite file can be created; opening it would create it."""
    if path.exists():
        return None
    folder = path.absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        return DATABASE.problem(
            f"the folder {folder} does not exist, or the bot's user may not write in it",
            "Create it or make it writable, or set another.",
        )
    return DATABASE.ok(f"{path} does not exist yet: `serve` creates it when it starts")


def _check_file(url: URL) -> CheckResult:
    """Open the file without creating it or setting its journal mode."""
    path = Path(url.database or "").absolute()
    check_writable(path)
    file = f"file:{quote(str(path))}?mode=rw&uri=true"
    address = f"sqlite:///{file}"
    engine = create_engine(address, connect_args={"timeout": DATABASE_TIMEOUT}, poolclass=NullPool)
    with engine.connect() as connection:
        return _check_schema(connection)


async def _check_server(url: URL) -> CheckResult:
    """Connect with the options of the bot; the end of the connection rolls back."""
    server = open_executor(url, DATABASE_TIMEOUT, DATABASE_TIMEOUT)
    try:
        return await server.run(_check_schema, {})
    finally:
        await server.close()


def _check_schema(connection: Connection) -> CheckResult:
    """Read the schema's version, then try to write; the end of the connection rolls back."""
    if connection.dialect.name == "sqlite":
        # Python's driver begins no transaction before a CREATE TABLE.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        version = known_version(connection)
    except SchemaError as error:
        return DATABASE.problem(error.why, error.do)
    if version != NEWEST:
        connection.execute(PROBE)  # as an update of the schema does
        if version is None:
            return DATABASE.ok(EMPTY)
        return DATABASE.warning(
            f"its tables have version {version}; this program has {NEWEST}",
            "Back up the database; `serve` updates the tables when it starts.",
        )
    # Insert zero rows into every table, for which the database checks the permission too.
    for table in metadata.sorted_tables:
        no_rows = select(table).where(false())
        connection.execute(table.insert().from_select(table.columns.keys(), no_rows))
    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
    return DATABASE.ok(f"it opens, is writable, and has the newest tables ({NEWEST})")


async def check_port(host: str, port: int) -> CheckResult:
    server = WebServer(host, port, web.Application(), grace=0)
    try:
        await server.start()
    except PortTaken:
        return PORT.warning(
            f"port {port} of {host} is in use",
            "Set PORT to another, unless it is this bot that is running.",
        )
    except WebError as error:
        return PORT.problem(str(error), "Set HOST to an address of this machine.")
    await server.stop()
    return PORT.ok(f"the bot can listen on {host}, port {port}")


async def check_audit_webhook(settings: AuditWebhookSettings) -> CheckResult:
    """Post a test event; only the receiver can say whether the secret is right."""
    # Loading the libraries takes 40 ms, which most bots save.
    from bot.webhook import WebhookClient, ping  # noqa: PLC0415 - see above

    client = WebhookClient(settings.url, settings.secret)
    event = ping(wall_clock())
    try:
        problem = await client.post(event)
    finally:
        await client.aclose()
    if problem:
        return WEBHOOK.problem(
            f"the receiver does not take a test event: {problem}",
            "Check the address, that the receiver runs and answers 2xx, and that it has the same "
            "BOT_AUDIT_WEBHOOK_SECRET; events wait in the database until then.",
        )
    return WEBHOOK.ok(f"the receiver took a signed test event ({event.get_type()})")


def settings_risks(risks: Iterable[str]) -> list[CheckResult]:
    hint = "Change the setting if this is not intended."
    return [SETTINGS.warning(risk, hint) for risk in risks]


def settings_results(problems: Iterable[str]) -> list[CheckResult]:
    """Return the errors of the settings as results; each names the fix."""
    return [SETTINGS.problem(problem, "") for problem in problems]
