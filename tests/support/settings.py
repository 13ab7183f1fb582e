"""The variables of a minimal deployment, and how they load."""

import pytest

from bot.settings import Settings, SettingsError, load_settings

PROJECT = "5b6212af90dc76637950a2c6"
ENOUGH = {
    "SLACK_BOT_TOKEN": "xoxb-1-2-abc",
    "SLACK_APP_TOKEN": "xapp-1-A-2-abc",
    "MONGODB_ATLAS_PUBLIC_API_KEY": "pubkey01",
    "MONGODB_ATLAS_PRIVATE_API_KEY": "0a1b-private",
    "MONGODB_ATLAS_PROJECT_ID": PROJECT,
}


def variables(*without: str) -> dict[str, str]:
    return {name: value for name, value in ENOUGH.items() if name not in without}


def load(*without: str, **more: str) -> Settings:
    """Load the minimal variables without some of them, and with others."""
    return load_settings(variables(*without) | more, needs_slack=True)


def problems(*without: str, **more: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(*without, **more)
    return caught.value.problems
