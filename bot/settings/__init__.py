"""Environment, `.env` and projects file, read once into one typed, frozen `Settings`."""

from bot.settings.load import SettingsError, load_database_url, load_settings
from bot.settings.model import (
    AtlasSettings,
    AuditWebhookSettings,
    LogFormat,
    ProjectSettings,
    Settings,
    SlackSettings,
    TracingSettings,
)
from bot.settings.warnings import warnings

__all__ = [
    "AtlasSettings",
    "AuditWebhookSettings",
    "LogFormat",
    "ProjectSettings",
    "Settings",
    "SettingsError",
    "SlackSettings",
    "TracingSettings",
    "load_database_url",
    "load_settings",
    "warnings",
]
