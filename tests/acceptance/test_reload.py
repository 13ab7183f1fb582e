"""A running bot reads its settings again."""

import os
import signal
from dataclasses import replace
from pathlib import Path

from structlog.testing import capture_logs

from bot.app import Bot
from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.settings import Settings, load_settings
from bot.timings import Timings
from tests.acceptance.environment import BotEnvironment, environment
from tests.support.environ import bot_environ
from tests.support.polling import wait_until
from tests.support.process import BotProcess
from tests.support.timings import SHORT_TIMINGS


async def test_reload_that_fails_unexpectedly_is_shown_and_the_next_one_works(
    tmp_path: Path,
) -> None:
    failures = [RuntimeError("not foreseen")]
    timings = replace(SHORT_TIMINGS, loop_restart_pause=2.0)

    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        settings = load_settings(environment(slack, atlas, tmp_path), tmp_path)

        def load() -> Settings:
            if failures:
                raise failures.pop()
            return settings

        bot = Bot(settings, timings=timings, load=load)
        env = BotEnvironment(slack=slack, atlas=atlas, bots=[bot])
        try:
            await bot.start()
            bot.reload_requested.set()
            await wait_until(lambda: not failures)
            status, page = await env.get("/readyz")
            with capture_logs() as logs:
                bot.reload_requested.set()
                await wait_until(lambda: "settings reloaded" in str(logs))
        finally:
            await bot.stop()

    assert (status, "started again: reload" in page) == (503, True)


async def test_sighup_reloads_a_running_process(tmp_path: Path) -> None:
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        environ = bot_environ(slack, atlas, f"sqlite:///{tmp_path}/bot.db")
        with BotProcess(environ, Timings()) as bot:
            await bot.ready()
            os.kill(bot.pid, signal.SIGHUP)
            await wait_until(lambda: '"settings reloaded"' in bot.log)

            assert await bot.stop() == 0
