"""A real PostgreSQL server for tests: started on a free port, killed and paused on demand."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import Self, TypeVar

import psycopg

from tests.support.certificate import certify
from tests.support.required_programs import needs

T = TypeVar("T")

#: Seconds in which a server must answer after its start.
START_TIMEOUT = 20.0

#: Options that make tests fast, and lose data only when the machine fails.
FAST = ("-c", "fsync=off", "-c", "full_page_writes=off")

#: Ends other sessions, and leaves every table as the migration does. TRUNCATE is slower.
EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
SET session_replication_role = replica;
DO $$
DECLARE each record;
BEGIN
    FOR each IN SELECT tablename AS name FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'lease')
    LOOP EXECUTE format('DELETE FROM %I', each.name); END LOOP;
    FOR each IN SELECT sequencename AS name FROM pg_sequences
    LOOP EXECUTE format('ALTER SEQUENCE %I RESTART', each.name); END LOOP;
    IF to_regclass('lease') IS NOT NULL THEN
        UPDATE lease SET holder = '', number = 0, expires_at = 0;
    END IF;
END $$
"""


#: Each worker of pytest takes its ports from a range of its own; other processes share the last.
PORTS_PER_WORKER = 2000
_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw10").removeprefix("gw")
_first = 10_000 + min(int(_worker), 10) * PORTS_PER_WORKER
_start = secrets.randbelow(PORTS_PER_WORKER)
_ports = (_first + (_start + n) % PORTS_PER_WORKER for n in count())


def free_port() -> int:
    """Return a port for a program that will bind it later, and which no other call returns.

    It is below the range from which the system gives ports to connections and to port 0, where
    another program could get it in the meantime.
    """
    for port in islice(_ports, PORTS_PER_WORKER):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port")


def start_on_free_port(start: Callable[[int], T]) -> T:
    """Call `start` until its server runs: another program may bind the port before it does.

    `start` raises `ChildProcessError` where the server has ended.
    """
    for _attempt in range(2):
        with suppress(ChildProcessError):
            return start(free_port())
    return start(free_port())


def binaries() -> Path:
    """Return the folder of `initdb` and `postgres`: Debian keeps them outside PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else needs("initdb", "postgresql").parent


def account() -> str | None:
    """Return whom to run the server as: it refuses root."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam("postgres").pw_name


class PostgresServer:
    """One server with its own data folder; a context manager.

    With `tls` it speaks TLS, with the certificate in `certificate`, which is its own authority.
    """

    def __init__(self, *, tls: bool = False) -> None:
        self.port = 0
        self._has_tls = tls
        self._folder = Path(tempfile.mkdtemp(prefix="cancel-restore-postgres-"))
        self._user = account()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self._user:
            shutil.chown(self._folder, self._user)
        self._run(
            "initdb", "-D", str(self._folder / "data"), "-U", "bot", "-A", "trust", "--no-sync"
        )
        if self._has_tls:
            certify(self._folder)
            if self._user:  # it refuses a key that another account owns
                shutil.chown(self._folder / "key.pem", self._user)
        start_on_free_port(self.start)
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder)

    @property
    def certificate(self) -> Path:
        return self._folder / "certificate.pem"

    def start(self, port: int = 0) -> None:
        """Start the server on `port`, or on the port of before."""
        self.port = port or self.port
        data = str(self._folder / "data")
        arguments = ["-D", data, "-k", str(self._folder), "-p", str(self.port), "-h", "127.0.0.1"]
        if self._has_tls:
            arguments += ["-c", "ssl=on", "-c", f"ssl_cert_file={self.certificate}"]
            arguments += ["-c", f"ssl_key_file={self._folder / 'key.pem'}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binaries() / "postgres", *arguments, "-c", "max_connections=200", *FAST],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
            )
        self._wait()

    def stop(self, signal_: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT as an operator would, SIGQUIT as a crash."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal_)
            self._process.wait(START_TIMEOUT)

    def pause(self) -> None:
        """Stop every process of the server: it accepts bytes and answers nothing."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"database_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return f"postgresql://bot@127.0.0.1:{self.port}/{name}"

    @cached_property
    def shared_database(self) -> str:
        """The URL of the database that tests use in turn, because creating one takes 0.3 s."""
        return self.new_database()

    def emptied_database(self) -> str:
        """Delete the rows of the shared database, and return its URL."""
        self.execute(EMPTY, self.shared_database.rpartition("/")[2])
        return self.shared_database

    def execute(self, statement: str, database: str = "postgres") -> int:
        """Run one or more statements; returns the number of rows of the last one."""
        # By the socket in its folder, which no other server has.
        address = f"postgresql://bot@/{database}?host={self._folder}&port={self.port}"
        with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
            return connection.execute(statement.encode()).rowcount

    def _wait(self) -> None:
        until = time.monotonic() + START_TIMEOUT
        while time.monotonic() < until:
            if self._process and self._process.poll() is not None:
                raise ChildProcessError((self._folder / "log").read_text())
            try:
                self.execute("SELECT 1")
            except psycopg.Error:
                time.sleep(0.05)
            else:
                return
        raise TimeoutError((self._folder / "log").read_text())

    def _signal_all(self, what: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for each in (parent, *map(int, children)):
            try:
                os.kill(each, what)
            except ProcessLookupError:
                continue  # a connection's process that has just ended

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [binaries() / program, *arguments],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self._folder,
        )


@asynccontextmanager
async def open_postgres() -> AsyncIterator[PostgresServer]:
    """Run a server without blocking the event loop; a cancelled start stops it too."""
    server = PostgresServer()
    starting = asyncio.create_task(asyncio.to_thread(server.__enter__))
    try:
        await asyncio.shield(starting)
        yield server
    finally:
        await asyncio.wait({starting})
        await asyncio.to_thread(server.__exit__, None, None, None)
