"""From variables, or from the projects file, to the projects that the bot knows."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.settings.credentials import DEFAULT_VARIABLES, Wanted, find_credentials
from bot.settings.model import ProjectSettings
from bot.settings.policy_checks import policy_problems
from bot.settings.variables import PolicySettings, ProjectEntry, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from bot.atlas import Credentials

FILE = "BOT_PROJECTS_FILE"
NO_CREDENTIALS = (
    "has no credentials: set MONGODB_ATLAS_PUBLIC_API_KEY and MONGODB_ATLAS_PRIVATE_API_KEY (an "
    "API key), or MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET (a service account)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for every project that does not say otherwise.

    Attributes:
        environ: the variables, in which an entry's `…_env` keys are looked up.
        rules: by the `BOT_` variables.
        sound: whether those rules were all readable, so that it makes sense to judge them.
        credentials: the default ones, or None.
    """

    environ: Mapping[str, str]
    rules: PolicySettings
    sound: bool
    credentials: Credentials | None

    @property
    def tried(self) -> bool:
        """Whether default credentials are given at all; if wrong, that has been told already."""
        return any(name in self.environ for name in DEFAULT_VARIABLES.values())


def single_project(
    project_id: str | None, common: Defaults, problems: list[str]
) -> tuple[ProjectSettings, ...]:
    """Build the one project of `MONGODB_ATLAS_PROJECT_ID`."""
    if "MONGODB_ATLAS_PROJECT_ID" not in common.environ:
        problems.append(
            "MONGODB_ATLAS_PROJECT_ID is not set: give the project's id, "
            "or several projects in a file by BOT_PROJECTS_FILE"
        )
    if not common.tried:
        problems.append(f"The Atlas project {NO_CREDENTIALS}")
    if common.sound:
        problems.extend(policy_problems(common.rules.policy(), _caller(common.rules, {}, "")))
    if project_id is None or common.credentials is None:
        return ()
    return (_settings(None, project_id, common.credentials, common.rules),)


def projects_of_file(
    path: Path, common: Defaults, problems: list[str]
) -> tuple[ProjectSettings, ...]:
    """Build the projects of the file at `path`."""
    tables = _tables(path, problems)
    projects = [_project(table, n, common, problems) for n, table in enumerate(tables, 1)]
    for key in ("name", "id"):
        given = (table[key] for table in tables if isinstance(table.get(key), str))
        problems.extend(_repeated(key, given))
    return tuple(project for project in projects if project is not None)


def _tables(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{FILE} names {path}, which cannot be read: {error.strerror}")
        return []
    except ValueError as error:  # both TOMLDecodeError and UnicodeDecodeError
        why = error if isinstance(error, tomllib.TOMLDecodeError) else "it is no UTF-8 text"
        problems.append(f"{FILE} names {path}, which is not valid TOML: {why}")
        return []
    strangers = [key for key in content if key != "projects"]
    problems.extend(f"{FILE}: {key} is not a key that is known here" for key in strangers)
    tables = content.get("projects", [])
    if not tables or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        problems.append(f"{FILE} names {path}, which must have one [[projects]] or more")
        return []
    return tables


def _project(
    table: Mapping[str, Any], position: int, common: Defaults, problems: list[str]
) -> ProjectSettings | None:
    own: list[str] = []
    where = f"{FILE}, project {_shown_name(table, position)}: "
    entry = read(ProjectEntry, table, lambda key: f"{where}{key}", own)
    rules = entry.over(common.rules)
    own.extend(f"{where}{key} is missing" for key in ("name", "id") if key not in table)
    if common.sound and not own:
        own.extend(policy_problems(rules.policy(), _caller(rules, table, where)))
    named = [part for part in DEFAULT_VARIABLES if f"{part}_env" in table]
    credentials = _credentials(entry, where, named, common, own)
    problems.extend(own)
    if entry.name is None or entry.id is None or credentials is None:
        return None
    return _settings(entry.name, entry.id, credentials, rules)


def _credentials(
    entry: ProjectEntry, where: str, named: list[str], common: Defaults, problems: list[str]
) -> Credentials | None:
    variables = {part: getattr(entry, f"{part}_env") for part in named}
    if None in variables.values():
        return None  # what was given is not the name of a variable: that has been told
    if variables:
        wanted = Wanted(variables, lambda part: f"{where}{part}_env")
        return find_credentials(wanted, common.environ, problems)
    if not common.tried:
        problems.append(f"{where}{NO_CREDENTIALS}, or name variables by public_key_env and so on")
    return common.credentials


def _settings(
    name: str | None, project_id: str, credentials: Credentials, rules: PolicySettings
) -> ProjectSettings:
    return ProjectSettings(
        name=name,
        id=project_id,
        credentials=credentials,
        policy=rules.policy(),
        watch_channel=rules.watch_channel,
    )


def _caller(rules: PolicySettings, table: Mapping[str, Any], where: str) -> Callable[[str], str]:
    """Make the function that names a rule in sentences: by the file's key or by the variable."""

    def called(rule: str) -> str:
        name = f"{where}{rule}" if rule in table else f"BOT_{rule.upper()}"
        inherited = rule == "approvers" and rules.approvers is None
        return f"{name} (by default the requesters)" if inherited else name

    return called


def _shown_name(table: Mapping[str, Any], position: int) -> str:
    name = table.get("name")
    return f'"{name}"' if isinstance(name, str) and name.strip() else f"number {position}"


def _repeated(key: str, given: Iterable[str]) -> list[str]:
    """People type names in any case, so case does not make two of them."""
    counts = Counter(value.strip().casefold() for value in given)
    return [
        f'{FILE} has the {key} "{value}" {count} times: it must be unique'
        for value, count in counts.items()
        if count > 1
    ]
