"""The composition root of `serve`: the web server, the database's tables, and the role."""

import asyncio
from contextlib import AsyncExitStack

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bot.active_process import ActiveProcess
from bot.services.active import Role, RoleKeeper
from bot.settings import Settings
from bot.storage.database import cause_of
from bot.storage.lease import Lease
from bot.storage.migrate import SchemaError, ensure_current
from bot.tasks import Supervisor, cancel_and_wait
from bot.web.metrics import Metrics
from bot.web.server import PortInUse, Readiness, WebServer
from bot.wiring import Core

RESTART_PAUSE = 1.0  #: seconds before the role's loop is started again, should it die
DATABASE_PROBLEM = "The database cannot be written ({why}): check DATABASE_URL."
NO_TABLES = "The tables are not ready yet."
STARTING = "The process has not started yet."

log = structlog.get_logger(__name__)


class StartError(Exception):
    """The bot cannot start; the text is a sentence for people."""


async def migrate(database_url: str) -> None:
    """Create or upgrade the tables; raises `StartError`."""
    try:
        await ensure_current(database_url)
    except SchemaError as error:
        raise StartError(f"The database of DATABASE_URL cannot be used. {error}") from error
    except (SQLAlchemyError, OSError) as error:
        why = cause_of(error)
        raise StartError(
            f"The database of DATABASE_URL cannot be opened ({why}). Check the address."
        ) from error


class Bot:
    """One process: it serves health at once, and is active or a standby."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(project.label for project in settings.projects)
        self.core = Core(settings, self.metrics)
        self._roles = RoleKeeper(self.core.new_lease, self._run_active, on_role=self._count_role)
        self._parts: ActiveProcess | None = None
        self._has_tables = False
        self._web = WebServer(settings.host, settings.port, self.metrics, self._readiness)

    @property
    def port(self) -> int:
        return self._web.port

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; raises `StartError`."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.core.close)
            stack.push_async_callback(self._web.stop)
            working = asyncio.create_task(self._work(), name="role")
            waiting = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()  # raises what ended it
                log.info("stopping")
            finally:
                await cancel_and_wait(working, waiting)
        log.info("stopped")

    async def _work(self) -> None:
        """Serve health, create the tables, and be a standby or active until cancelled."""
        try:
            await self._web.start()
        except PortInUse as error:
            raise StartError(str(error)) from error
        log.info("listening", port=self.port)
        await migrate(self.settings.database_url.get_secret_value())
        self._has_tables = True
        await Supervisor(RESTART_PAUSE).run(self._roles.run, "role")

    async def _run_active(self, lease: Lease) -> None:
        if self.settings.slack is None:
            raise AssertionError("`serve` requires the settings of Slack")
        self._parts = ActiveProcess(self.core, self.settings.slack, lease)
        try:
            await self._parts.run()
        finally:
            self._parts = None

    def _count_role(self, role: Role) -> None:
        if role is Role.STANDBY:
            self.metrics.become_standby()
            return
        projects = self.core.projects
        watched = (projects.label_of(project.id) for project in projects if project.is_watched)
        self.metrics.become_active(watched, self.core.now())

    async def _readiness(self) -> Readiness:
        problems = {}
        if not self._has_tables:
            problems["database"] = NO_TABLES
        elif why := await self.core.database.check_writable():
            problems["database"] = DATABASE_PROBLEM.format(why=why)
        if self._parts:
            problems |= await self._parts.problems()
        elif self._roles.role is Role.ACTIVE or not self._roles.has_asked:
            problems["role"] = STARTING
        return Readiness(str(self._roles.role), problems)
