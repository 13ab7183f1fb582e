"""The shipped alert rules, evaluated on what `/metrics` shows while each event happens."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bot.sandbox.atlas import PROJECT_ID, Fault, Kind
from bot.sandbox.slack import Fault as SlackFault
from tests.support.alerts import OLDEST_UNPOSTED, Recording, alert
from tests.support.serving import CHANNEL, Serving

PROJECTS = f"""
[[projects]]
name = "shop"
id = "{PROJECT_ID}"
channel = "{CHANNEL}"

[[projects]]
name = "no-channel"
id = "5b6212af90dc76637950a2c7"
"""


async def test_first_events_alarm_beside_a_standby_and_after_a_take_over_and_rest_is_silent(
    bot: Serving, tmp_path: Path
) -> None:
    bot.settings["BOT_WATCH_INTERVAL"] = "1"
    one, two = await bot.start(), bot.begin()
    await bot.role(two, "standby")
    recording = Recording({"one": one, "two": two})
    await recording.phase(20)

    job = bot.download()
    await bot.message(job)
    seen = alert("NewDownload", project=PROJECT_ID)
    await recording.phase(4, seen)

    job.release(job.created_at)
    await bot.until(lambda: "Link live" in bot.text(bot.find(job) or {"blocks": []}))
    await recording.phase(4, alert("LinkWasLive", project=PROJECT_ID))
    recording.go_on(20)

    await one.stop()
    await bot.role(two, "active")
    recording.processes["three"] = three = bot.begin()
    await bot.role(three, "standby")
    down = alert("StandbyDown", instance="one")
    await recording.phase(20, down)

    await bot.message(bot.download("staging-eu"))
    await recording.phase(4, down, seen)

    with closing(sqlite3.connect(tmp_path / "bot.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        two.kill()
        await recording.phase(4, alert("NoActive"))
        other.execute("ROLLBACK")
    three.kill()
    await recording.phase(4, alert("Down"))

    recording.evaluate(tmp_path)


async def test_watch_that_is_blind_from_the_start_silent_slack_and_refused_key_alarm(
    bot: Serving, tmp_path: Path
) -> None:
    (tmp_path / "projects.toml").write_text(PROJECTS, encoding="utf-8")
    bot.settings |= {
        "BOT_PROJECTS_FILE": str(tmp_path / "projects.toml"),
        "MONGODB_ATLAS_PROJECT_ID": "",
        "BOT_CHANNEL": "",
        "BOT_WATCH_INTERVAL": "1",
    }
    one_cluster = Fault(kind=Kind.STATUS, path="/prod-eu/backup/restoreJobs", times=None)
    bot.atlas.faults.add(one_cluster)
    process = await bot.start()
    await bot.until(lambda: "watch read failed" in process.log)
    recording = Recording({"one": process})
    await recording.phase(4, still=2.0)
    recording.go_on(4, alert("WatchBlind", project="shop"))
    bot.atlas.faults.clear()
    await recording.phase(6)

    bot.slack.faults.add("chat.postMessage", SlackFault(kind="status"), times=1000)
    bot.download()
    await recording.shows(OLDEST_UNPOSTED)
    seen, behind = alert("NewDownload", project="shop"), alert("SlackBehind")
    await recording.phase(1, seen)
    recording.go_on(2, seen, behind)

    bot.atlas.faults.add(Fault(kind=Kind.REFUSE_KEY, times=None))
    await recording.shows("cancel_restore_atlas_login_refused_total")
    await recording.phase(4, behind, alert("LoginRefused"), still=1.0)

    recording.evaluate(tmp_path)
