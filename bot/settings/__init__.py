"""Environment, `.env` and projects file, read once into one typed, frozen `Settings`."""

from bot.settings.load import SettingsError as SettingsError
from bot.settings.load import load_database_url as load_database_url
from bot.settings.load import load_settings as load_settings
from bot.settings.load import warnings as warnings
from bot.settings.model import AtlasSettings as AtlasSettings
from bot.settings.model import AuditWebhookSettings as AuditWebhookSettings
from bot.settings.model import Settings as Settings
from bot.settings.model import SlackSettings as SlackSettings
from bot.settings.policy import OrganizationSettings as OrganizationSettings
from bot.settings.policy import PolicyHolder as PolicyHolder
from bot.settings.policy import ProjectSettings as ProjectSettings
