"""Reads everything once, and refuses with every problem at once."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import dotenv_values
from pydantic import SecretStr

from bot.settings.credentials import DEFAULT_VARIABLES, default_credentials
from bot.settings.model import AtlasSettings, Settings, SlackSettings, TracingSettings
from bot.settings.projects import Defaults, projects_of_file, single_project
from bot.settings.variables import DefaultRules, LedgerVariables, Variables, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bot.settings.model import ProjectSettings


#: Every variable that holds for the whole bot, or for projects that do not say otherwise.
OUR_NAMES = frozenset(
    {name.upper() for name in Variables.model_fields}
    | {f"BOT_{name.upper()}" for name in DefaultRules.model_fields}
    | set(DEFAULT_VARIABLES.values())
)

_QUOTED = re.compile(r"""(["']).*\1""", re.DOTALL)


class SettingsError(Exception):
    """The settings have problems; each is a sentence that names the variable and the fix.

    Attributes:
        problems: the sentences, at least one.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def load_settings(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        environ: the environment variables; by default those of this process.
        folder: where `.env` is, and what a relative `BOT_PROJECTS_FILE` starts from; by default
            the working directory.

    Raises:
        SettingsError: with every problem that was found.
    """
    problems: list[str] = []
    folder = folder or Path.cwd()
    given = environment(os.environ if environ is None else environ, folder, problems)
    given = unquoted(given, OUR_NAMES, problems)
    variables = read(Variables, given, str, problems)
    problems.extend(_transport_problems(given))
    projects = _projects(variables, given, folder, problems)
    if problems or variables.slack_bot_token is None:
        raise SettingsError(problems)
    return _settings(variables, _slack(variables, variables.slack_bot_token), projects, given)


def load_database_url(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> str:
    """Read `DATABASE_URL` alone: reading the record needs no key to Slack or Atlas.

    Raises:
        SettingsError: it is not a URL that the ledger can use.
    """
    problems: list[str] = []
    folder = folder or Path.cwd()
    given = environment(os.environ if environ is None else environ, folder, problems)
    given = unquoted(given, {"DATABASE_URL"}, problems)
    variables = read(LedgerVariables, given, str, problems)
    if problems:
        raise SettingsError(problems)
    return variables.database_url.get_secret_value()


def environment(environ: Mapping[str, str], folder: Path, problems: list[str]) -> Mapping[str, str]:
    """Return the variables that have a value: those of `environ`, and beneath them those of `.env`.

    An empty variable is as good as none, and hides the one of `.env`.
    """
    try:
        file = dotenv_values(folder / ".env")
    except (OSError, UnicodeDecodeError):
        problems.append(f"{folder / '.env'} cannot be read: it must be a text file in UTF-8")
        file = {}
    merged = {**file, **environ}
    return {name: value.strip() for name, value in merged.items() if value and value.strip()}


def unquoted(
    given: Mapping[str, str], names: Iterable[str], problems: list[str]
) -> Mapping[str, str]:
    """Tell which of `names` stand in quotation marks, once, and go on with what is between them.

    A shell and `.env` take the marks away; `docker run --env-file` leaves them.
    """
    quoted = sorted(name for name in given.keys() & set(names) if _QUOTED.fullmatch(given[name]))
    problems.extend(f"{name} stands in quotation marks: leave them out" for name in quoted)
    bare = {name: given[name][1:-1].strip() for name in quoted}
    return {name: value for name, value in {**given, **bare}.items() if value}


def _transport_problems(given: Mapping[str, str]) -> list[str]:
    problems = []
    if "SLACK_BOT_TOKEN" not in given:
        problems.append(
            "SLACK_BOT_TOKEN is not set: "
            "give the Bot User OAuth Token (xoxb-…), in Slack under OAuth & Permissions"
        )
    if not given.keys() & {"SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET"}:
        problems.append(
            "Neither SLACK_APP_TOKEN nor SLACK_SIGNING_SECRET is set: "
            "give the app token (xapp-…) for Socket Mode, or the signing secret for HTTP"
        )
    return problems


def _projects(
    variables: Variables, given: Mapping[str, str], folder: Path, problems: list[str]
) -> tuple[ProjectSettings, ...]:
    of_rules: list[str] = []
    rules = read(DefaultRules, given, str, of_rules)
    problems.extend(of_rules)
    common = Defaults(
        environ=given,
        rules=rules,
        sound=not of_rules,
        credentials=default_credentials(given, problems),
    )
    if variables.bot_projects_file is None:
        return single_project(variables.mongodb_atlas_project_id, common, problems)
    return projects_of_file(folder / variables.bot_projects_file, common, problems)


def _slack(variables: Variables, bot_token: SecretStr) -> SlackSettings:
    return SlackSettings(
        bot_token=bot_token,
        app_token=variables.slack_app_token,
        signing_secret=variables.slack_signing_secret,
        api_url=variables.slack_api_url,
    )


def _tracing(variables: Variables, given: Mapping[str, str]) -> TracingSettings | None:
    if variables.otel_traces_exporter is None:
        return None
    named = {name: SecretStr(value) for name, value in given.items() if name.startswith("OTEL_")}
    return TracingSettings(exporter=variables.otel_traces_exporter, variables=named)


def _settings(
    variables: Variables,
    slack: SlackSettings,
    projects: tuple[ProjectSettings, ...],
    given: Mapping[str, str],
) -> Settings:
    replaced = {"MONGODB_ATLAS_PROJECT_ID": "BOT_PROJECTS_FILE"}
    return Settings(
        slack=slack,
        atlas=AtlasSettings(
            base_url=variables.mongodb_atlas_base_url,
            version=variables.mongodb_atlas_api_version,
            envelope=variables.mongodb_atlas_envelope,
        ),
        projects=projects,
        database_url=variables.database_url,
        host=variables.host,
        port=variables.port,
        log_level=variables.log_level,
        log_format=variables.log_format,
        watch_interval=variables.bot_watch_interval,
        tracing=_tracing(variables, given),
        unused=tuple(name for name, by in replaced.items() if name in given and by in given),
        unknown=tuple(name_with_nearest(name) for name in sorted(given) if is_mistyped(name)),
    )


def is_mistyped(name: str) -> bool:
    """Say whether a variable begins like ours and is none: a typo in a policy must not pass."""
    return name.startswith("BOT_") and name not in OUR_NAMES


def name_with_nearest(name: str) -> str:
    """Add the variable that was probably meant (pure)."""
    nearest = get_close_matches(name, OUR_NAMES, n=1)
    return f"{name} (did you mean {nearest[0]}?)" if nearest else name
