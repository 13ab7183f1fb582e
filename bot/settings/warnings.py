"""Warns of settings that carry a risk, and of what the start finds beside them."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from bot.settings.model import ProjectSettings

SHORTEST_TIME_TO_LINK = 150  #: seconds between the start of a download and its link, at least
LEAST_LEFT = 30  #: seconds that a cancellation may need, with its announcement before it
LEAST_TO_DECIDE = 30  #: seconds in which a person can let a download run


def policy_risks(projects: Iterable[ProjectSettings], interval: float) -> Iterator[str]:
    """Name the projects whose downloads may be cancelled too late, or too early to object."""
    for project in projects:
        after = project.policies.default.auto_cancel_after
        if after is None:
            continue
        seconds = f"{after.total_seconds():.0f} s"
        if after.total_seconds() + interval > SHORTEST_TIME_TO_LINK - LEAST_LEFT:
            yield (
                f"Project {project.label}: BOT_AUTO_CANCEL_AFTER ({seconds}) and "
                f"BOT_WATCH_INTERVAL ({interval:g} s) leave less than {LEAST_LEFT} s of the "
                f"{SHORTEST_TIME_TO_LINK} s before a link can be live: the backup may be "
                "downloaded before the bot cancels. Lower one of them."
            )
        if after < timedelta(seconds=LEAST_TO_DECIDE):
            yield (
                f"Project {project.label}: BOT_AUTO_CANCEL_AFTER ({seconds}) is below "
                f"{LEAST_TO_DECIDE} s: hardly anybody can let a download run in time. Raise it."
            )


def starter_warnings(projects: Iterable[ProjectSettings]) -> Iterator[str]:
    """Name the projects where a person could let their own download run.

    This is so where the bot token lacks the scope `users:read.email`.
    """
    if labels := ", ".join(p.label for p in projects if p.policies.default.auto_cancels):
        yield (
            f"BOT_AUTO_CANCEL_AFTER is set ({labels}), and the bot token lacks the scope "
            "users:read.email: who started a download may let it run. Add the scope, and install "
            "the app again."
        )
