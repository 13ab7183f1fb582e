"""Runs the bot as a process, and its commands."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, chdir
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

import aiohttp
from typer.testing import CliRunner

from bot.cli.main import app
from tests.support.bot_entry import fork_command

#: The arguments of Python for `serve`.
SERVE = ("-m", "bot", "serve")

#: Seconds until the bot must be ready on a busy machine.
START_TIMEOUT = 25.0

#: Seconds until a command must end on a busy machine.
COMMAND_TIMEOUT = 100.0

#: Seconds from the demo's command to its JSON line: five, and the tolerance for a busy machine.
DEMO_TIMEOUT = 60.0

#: Seconds between two checks of a starting or ending process.
POLL_INTERVAL = 0.02


#: The line of the log that names the port, in both formats.
LISTENING = re.compile(r"^(?=.*listening).*\bport\W+(\d+)", re.MULTILINE)

#: Where commands run: the working directory may have the `.env` of a real bot.
_empty_folder = tempfile.TemporaryDirectory(prefix="cancel-restore-empty-")
EMPTY_FOLDER = Path(_empty_folder.name)


def surroundings() -> dict[str, str]:
    """Return the variables that any program needs, and none that could affect the bot.

    With `python -P` the installed bot is used in any working directory.
    """
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "PYTHONWARNINGS": "error::ResourceWarning",
    }


class BotProcess:
    """One `serve` process; a context manager that kills it.

    Args:
        environ: the bot's settings; the bot selects a free port.
        program: the arguments of Python; None: the process is forked, without a second of imports.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        program: Sequence[str] | None = SERVE,
    ) -> None:
        self._program = program
        self._port = 0
        self.started_at = time.monotonic()
        self._environ = {**surroundings(), "LOG_FORMAT": "json", **environ, "PORT": "0"}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._folder = tempfile.TemporaryDirectory(prefix="cancel-restore-bot-")
        self._process: subprocess.Popen[bytes] | BaseProcess | None = None

    def __enter__(self) -> Self:
        self.started_at = time.monotonic()
        if self._program is None:
            folder, log = Path(self._folder.name), self._log.fileno()
            self._process = fork_command(["serve"], self._environ, folder, log, log)
            return self
        self._process = subprocess.Popen(
            [sys.executable, "-P", *self._program],
            env=self._environ,
            cwd=self._folder.name,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._log.close()
        self._folder.cleanup()

    @property
    def port(self) -> int:
        """The port on which it listens; 0 until its log names it."""
        if not self._port and (found := LISTENING.search(self.log)):
            self._port = int(found[1])
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process
        assert self._process.pid
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, or None while it runs."""
        assert self._process
        if isinstance(self._process, subprocess.Popen):
            return self._process.poll()
        return self._process.exitcode

    @property
    def log(self) -> str:
        """The log so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def kill(self) -> None:
        """Send SIGKILL."""
        if self._process and self.code is None:
            self._process.kill()
            if isinstance(self._process, subprocess.Popen):
                self._process.wait(5)
            else:
                self._process.join(5)

    async def stop(self, seconds: float = 10.0) -> int:
        """Send SIGTERM and return the exit code; raises `TimeoutError` with the log."""
        os.kill(self.pid, signal.SIGTERM)
        return await self.ended(seconds)

    async def ended(self, seconds: float = START_TIMEOUT) -> int:
        """Wait until the process exits, and return the exit code."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.code is not None:
                return self.code
            await asyncio.sleep(POLL_INTERVAL)
        raise TimeoutError(f"still running after {seconds:g} s:\n{self.log}")

    async def ready(self, seconds: float = START_TIMEOUT) -> Self:
        """Wait until `/readyz` is 200; raises `TimeoutError` with the log."""
        until = time.monotonic() + seconds
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < until and self.code is None:
                if await self._status(session, "/readyz") == 200:
                    return self
                await asyncio.sleep(POLL_INTERVAL)
        raise TimeoutError(f"not ready (exit code {self.code}):\n{self.log}")

    async def status(self, path: str) -> int | None:
        """Return the status of a GET, or None without an answer."""
        async with aiohttp.ClientSession() as session:
            return await self._status(session, path)

    async def _status(self, session: aiohttp.ClientSession, path: str) -> int | None:
        try:
            async with session.get(self.url + path) as answer:
                return answer.status
        except aiohttp.ClientError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The result of a command."""

    code: int
    out: str
    err: str


async def invoke(*arguments: str, **environ: str) -> CommandResult:
    """Run a command of the program in this process."""
    with chdir(EMPTY_FOLDER):
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environ)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return CommandResult(code=result.exit_code, out=result.stdout, err=result.stderr)


async def run_command(*arguments: str, **environ: str) -> CommandResult:
    """Run `cancel-restore` with `arguments` to its end, in a forked process."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = fork_command(
            arguments, {**surroundings(), **environ}, EMPTY_FOLDER, out.fileno(), err.fileno()
        )
        await asyncio.to_thread(process.join, COMMAND_TIMEOUT)
        if (code := process.exitcode) is None and process.pid:
            os.kill(process.pid, signal.SIGABRT)  # it writes where it is
            await asyncio.to_thread(process.join, COMMAND_TIMEOUT)
        files = (out, err)
        texts = [os.pread(each.fileno(), os.fstat(each.fileno()).st_size, 0) for each in files]
    if code is None:
        raise TimeoutError(f"{arguments} did not end: {texts}")
    return CommandResult(code=code, out=texts[0].decode(), err=texts[1].decode())


async def execute(
    environ: Mapping[str, str],
    *arguments: str,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> Process:
    """Begin to execute `cancel-restore`."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "bot", *arguments),
        env={**surroundings(), **environ},
        cwd=EMPTY_FOLDER,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )


@asynccontextmanager
async def executing(*arguments: str, **environ: str) -> AsyncIterator[Process]:
    """Execute `cancel-restore`, and kill it at the end if it still runs."""
    process = await execute(environ, *arguments)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def running_demo(*arguments: str) -> AsyncIterator[tuple[Process, dict[str, Any]]]:
    """Run the demo, and yield its JSON line."""
    async with executing("demo", "--no-browser", "--port", "0", *arguments) as process:
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), DEMO_TIMEOUT)
        yield process, json.loads(line)
