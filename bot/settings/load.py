"""Read environment, `.env` and projects file into `Settings`; all problems are reported at once."""

import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bot.settings.base import Model, read
from bot.settings.credentials import CredentialSettings
from bot.settings.model import (
    AtlasSettings,
    AuditWebhookSettings,
    Settings,
    SlackSettings,
    TracingSettings,
)
from bot.settings.policy import DefaultPolicy, OrganizationSettings, ProjectSettings
from bot.settings.projects import read_projects

#: The models that read variables, in the order of the table in docs/settings.md.
MODELS: tuple[type[Model], ...] = (
    SlackSettings,
    CredentialSettings,
    AtlasSettings,
    DefaultPolicy,
    Settings,
    AuditWebhookSettings,
    TracingSettings,
)


def variables() -> dict[str, FieldInfo]:
    fields = (field for model in MODELS for field in model.model_fields.values())
    return {str(field.alias): field for field in fields if field.description}


#: Every variable that is read, except those that the projects file names.
KNOWN_VARIABLES = frozenset(variables())

_QUOTED = re.compile(r"""(["']).*\1""", re.DOTALL)


class SettingsError(Exception):
    """The settings have `problems`; each is a sentence that names the variable and the fix."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def load_settings(
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    *,
    needs_slack: bool = True,
) -> Settings:
    """Read the settings from `environ` (by default `os.environ`) and `.env`.

    `.env` and a relative `BOT_PROJECTS_FILE` are in `folder`, by default the working directory.
    Without `needs_slack`, Slack's variables may be missing. Raises `SettingsError` with every
    problem that was found.
    """
    problems: list[str] = []
    folder = folder or Path.cwd()
    given = read_environment(environ, folder, KNOWN_VARIABLES, problems)
    settings = read(Settings, given, problems)
    if needs_slack:
        problems.extend(missing_slack_variables(given))
    slack = read(SlackSettings, given, problems)
    atlas = read(AtlasSettings, given, problems)
    otel = {name: SecretStr(value) for name, value in given.items() if name.startswith("OTEL_")}
    tracing = read(TracingSettings, {**given, "variables": otel}, problems)
    audit_webhook = read_audit_webhook(given, problems)
    holders = read_projects(atlas.project_id, given, folder, problems)
    if problems:
        raise SettingsError(problems)
    return settings.model_copy(
        update={
            "slack": slack,
            "atlas": atlas,
            "projects": tuple(p for p in holders if isinstance(p, ProjectSettings)),
            "organizations": tuple(o for o in holders if isinstance(o, OrganizationSettings)),
            "tracing": tracing if tracing.exporter else None,
            "audit_webhook": audit_webhook,
            "risks": (*env_file_risks(folder / ".env", os.geteuid()), *unused_variables(given)),
        }
    )


def load_database_url(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> str:
    """Read `DATABASE_URL` alone; other variables are not checked. Raises `SettingsError`."""
    problems: list[str] = []
    given = read_environment(environ, folder or Path.cwd(), {"DATABASE_URL"}, problems)
    given = {name: value for name, value in given.items() if name == "DATABASE_URL"}
    settings = read(Settings, given, problems)
    if problems:
        raise SettingsError(problems)
    return settings.database_url.get_secret_value()


def read_environment(
    environ: Mapping[str, str] | None, folder: Path, names: Iterable[str], problems: list[str]
) -> Mapping[str, str]:
    """Return the variables that have a value; those of `environ` replace those of `.env`.

    An empty variable counts as not set, and hides the one of `.env`. Names are upper case.
    Quotation marks are reported in the variables `names`.
    """
    try:
        file = dotenv_values(folder / ".env")
    except (OSError, UnicodeDecodeError):
        problems.append(f"{folder / '.env'} cannot be read: it must be a text file in UTF-8")
        file = {}
    merged = {**file, **(os.environ if environ is None else environ)}
    given = {name: (value or "").strip() for name, value in merged.items() if name.isupper()}
    # `docker run --env-file` passes quotation marks on, unlike a shell and `.env`.
    for name in sorted(given.keys() & set(names)):
        if _QUOTED.fullmatch(given[name]):
            problems.append(f"{name} has quotation marks around its value: remove them")
            given[name] = given[name][1:-1].strip()
    return {name: value for name, value in given.items() if value}


def env_file_risks(file: Path, user: int) -> Iterator[str]:
    """Say whether accounts other than root and `user` may read or write the file."""
    try:
        status = file.stat()
    except OSError:
        return
    path = shlex.quote(str(file))
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield f"{file} is open to other accounts of this machine: run chmod 600 {path}."
    elif status.st_uid not in {0, user}:
        yield f"{file} belongs to another account: run chown {user} {path}."


def missing_slack_variables(given: Mapping[str, str]) -> Iterator[str]:
    if "SLACK_BOT_TOKEN" not in given:
        yield (
            "SLACK_BOT_TOKEN is not set: "
            "give the Bot User OAuth Token (xoxb-…), in Slack under OAuth & Permissions"
        )
    if not given.keys() & {"SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET"}:
        yield (
            "Neither SLACK_APP_TOKEN nor SLACK_SIGNING_SECRET is set: "
            "give the app token (xapp-…) for Socket Mode, or the signing secret for HTTP"
        )


def read_audit_webhook(
    given: Mapping[str, str], problems: list[str]
) -> AuditWebhookSettings | None:
    names = [str(field.alias) for field in AuditWebhookSettings.model_fields.values()]
    missing = [name for name in names if name not in given]
    if len(missing) == len(names):
        return None
    problems.extend(
        f"{name} is not set: the audit webhook needs an address and a secret" for name in missing
    )
    return read(AuditWebhookSettings, given, problems)


def unused_variables(given: Mapping[str, str]) -> Iterator[str]:
    """Name the variables that have no effect, an unknown one with the most similar known one."""
    if given.keys() >= {"BOT_PROJECTS_FILE", "MONGODB_ATLAS_PROJECT_ID"}:
        yield "MONGODB_ATLAS_PROJECT_ID has no effect here: another setting replaces it."
    for name in sorted(given):
        if name.startswith("BOT_") and name not in KNOWN_VARIABLES:
            nearest = get_close_matches(name, KNOWN_VARIABLES, n=1)
            hint = f" (did you mean {nearest[0]}?)" if nearest else ""
            yield f"{name}{hint} is not a setting of the bot and has no effect."
