"""Environment, `.env` and projects file, read once into one typed, frozen `Settings`."""

from bot.settings.load import SettingsError as SettingsError
from bot.settings.load import load_settings as load_settings
from bot.settings.model import AtlasSettings as AtlasSettings
from bot.settings.model import ProjectSettings as ProjectSettings
from bot.settings.model import Settings as Settings
from bot.settings.model import SlackSettings as SlackSettings
from bot.settings.warnings import starter_warnings as starter_warnings
