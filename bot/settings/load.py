"""Reads the settings: the environment, `.env`, and the projects file that they name."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream
from pydantic.fields import FieldInfo

from bot.settings.model import (
    AtlasKeys,
    AtlasSettings,
    ProcessSettings,
    ProjectSettings,
    Settings,
    SlackSettings,
)
from bot.settings.projects import FILE, PROJECT_ID, ProjectEntry, read_projects
from bot.settings.reading import Model, extra, read_environment
from bot.settings.warnings import policy_risks

ENV_FILE = ".env"
PREFIXES = ("BOT_", "MONGODB_ATLAS_", "SLACK_")
TOKENS = ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN")

#: The models that read variables, in the order of the table in docs/settings.md.
MODELS: tuple[type[Model], ...] = (
    SlackSettings,
    AtlasKeys,
    AtlasSettings,
    ProjectEntry,
    ProcessSettings,
)
#: Every variable that is read, except those that the projects file names.
VARIABLES: dict[str, FieldInfo] = {
    variable: field
    for model in MODELS
    for field in model.model_fields.values()
    if (variable := extra(field, "variable"))
}


class SettingsError(Exception):
    """The settings have `problems`; each is a sentence that names the variable and the fix."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def load_settings(
    environ: Mapping[str, str] | None = None, *, needs_slack: bool, reads_slack: bool = True
) -> Settings:
    """Read the settings; raises `SettingsError` with all problems at once.

    Args:
        environ: every variable. By default the process's, and those of `.env` in the working
            directory that the process does not set.
        needs_slack: whether Slack's tokens must be set. Without, `Settings.slack` is None unless
            both are.
        reads_slack: whether Slack's variables are read at all; a wrong one stops no command that
            works without Slack.
    """
    problems: list[str] = []
    given = _variables(environ, problems)
    process = read_environment(ProcessSettings, given, problems)
    slack = None
    if needs_slack or (reads_slack and given.keys() >= set(TOKENS)):
        slack = read_environment(SlackSettings, given, problems)
    atlas = read_environment(AtlasSettings, given, problems)
    file = Path(given[FILE]) if FILE in given else None
    projects, named = read_projects(given, file, problems)
    unknown = [*_unknown_variables(given.keys() - named)]
    if problems or process is None or atlas is None:
        raise SettingsError([*problems, *unknown, *_no_env_file(environ)])
    parts = {
        "slack": slack,
        "atlas": atlas,
        "projects": tuple(projects),
        "warnings": (*unknown, *_unused_project(given, projects), *_lone_token(given, reads_slack)),
        "risks": tuple(policy_risks(projects, process.watch_interval)),
    }
    return Settings.model_validate({**dict(process), **parts})


def _variables(environ: Mapping[str, str] | None, problems: list[str]) -> dict[str, str]:
    """Return the variables that have a value; an empty one counts as not set."""
    if environ is None:
        environ = {**_read_env_file(Path(ENV_FILE), problems), **os.environ}
    return {name: value.strip() for name, value in environ.items() if value.strip()}


def _no_env_file(environ: Mapping[str, str] | None) -> Iterator[str]:
    """Say where variables are set where somebody may not know."""
    if environ is None and not Path(ENV_FILE).exists():
        yield f"{ENV_FILE} is not in {Path.cwd()}: only the variables of the environment count"


def _read_env_file(path: Path, problems: list[str]) -> dict[str, str]:
    """Return the variables of the file; raises `SettingsError` where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError([f"{path} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{path} cannot be read: it must be text in UTF-8"]) from None
    bindings = [*parse_stream(StringIO(text))]
    problems.extend(_broken_lines(path, bindings))
    readable = "".join(binding.original.string for binding in bindings if not binding.error)
    values = dotenv_values(stream=StringIO(readable))
    return {name: value for name, value in values.items() if value is not None}


def _broken_lines(path: Path, bindings: Iterable[Binding]) -> Iterator[str]:
    """Say which lines set nothing; the text of a line may be a secret."""
    for binding in bindings:
        if binding.error or (binding.key and binding.value is None):
            skipped = binding.original.string
            blank_lines = skipped[: len(skipped) - len(skipped.lstrip())].count("\n")
            line = binding.original.line + blank_lines
            yield f"{path}, line {line} sets no variable: write NAME=VALUE"


def _unknown_variables(names: Iterable[str]) -> Iterator[str]:
    """Report variables that look like settings, each with the most similar one."""
    for name in sorted(names):
        if name.startswith(PREFIXES) and name not in VARIABLES:
            nearest = get_close_matches(name, VARIABLES, n=1, cutoff=0.75)
            hint = f" Did you mean {nearest[0]}?" if nearest else ""
            yield f"{name} is not a setting of the bot and has no effect.{hint}"


def _unused_project(given: Mapping[str, str], projects: Iterable[ProjectSettings]) -> Iterator[str]:
    ids = {project.id for project in projects}
    if PROJECT_ID in given and given[PROJECT_ID].lower() not in ids:
        yield f"{PROJECT_ID} has no effect: its project is not in the file of {FILE}."


def _lone_token(given: Mapping[str, str], reads_slack: bool) -> Iterator[str]:
    missing = [name for name in TOKENS if name not in given]
    if reads_slack and len(missing) == 1:
        yield f"{missing[0]} is not set: without it the bot does not reach Slack."
