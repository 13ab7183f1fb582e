"""Builds the projects: one from the environment, or several from the projects file."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from bot.atlas import Credentials, DigestKey, ServiceAccount
from bot.cancellation.policy import ClusterRule, Policies
from bot.settings import values
from bot.settings.model import AtlasKeys, ProjectSettings
from bot.settings.policy import ClusterEntry, PolicySettings, policy_problems
from bot.settings.reading import (
    Label,
    extra,
    from_environment,
    read,
    read_environment,
    setting,
    variables_of,
)

FILE = "BOT_PROJECTS_FILE"
PROJECT_ID = "MONGODB_ATLAS_PROJECT_ID"
#: The parts of credentials, and what they are built into.
KINDS = {
    ("public_key", "private_key"): DigestKey,
    ("client_id", "client_secret"): ServiceAccount,
}
#: The variables of credentials that no entry names; Atlas's own tools use the same names.
KEY_VARIABLES = variables_of(AtlasKeys)
POLICY_VARIABLES = variables_of(PolicySettings)
NO_CREDENTIALS = (
    "MONGODB_ATLAS_PUBLIC_API_KEY and MONGODB_ATLAS_PRIVATE_API_KEY are not set: set both (an API "
    "key), or MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET (a service account)"
)
A_VARIABLE = "the name of a variable, such as SHOP_PRIVATE_KEY: the file holds no secret"


class ProjectEntry(PolicySettings):
    """A `[[projects]]` of the projects file, or the project of the environment."""

    model_config = ConfigDict(extra="forbid")

    name: values.ProjectName | None = setting(
        must="one word of up to 64 characters without slashes, not an id, not list or help",
        default=None,
    )
    id: values.ProjectId = setting(
        "MONGODB_ATLAS_PROJECT_ID",
        "the project (group) id",
        must="24 hexadecimal digits: the project's id, in Atlas under Project Settings",
        shown="required without a projects file",
    )
    public_key_env: values.VariableName | None = setting(must=A_VARIABLE, default=None)
    private_key_env: values.VariableName | None = setting(must=A_VARIABLE, default=None)
    client_id_env: values.VariableName | None = setting(must=A_VARIABLE, default=None)
    client_secret_env: values.VariableName | None = setting(must=A_VARIABLE, default=None)
    clusters: list[dict[str, Any]] = setting(must="tables: [[projects.clusters]]", default=[])


@dataclass(frozen=True, slots=True)
class Source:
    """Where the settings of a project come from: the environment, and its table in the file."""

    environ: Mapping[str, str]
    place: str = ""  #: the table in sentences; empty: there is no file
    table: Mapping[str, Any] | None = None  #: the keys of the table

    def name(self, key: str) -> str:
        """Return the key of the file or the variable that sets a value, or that could."""
        if self.table is None:
            return PROJECT_ID if key == "id" else POLICY_VARIABLES[key]
        variable = POLICY_VARIABLES.get(key, key)
        return variable if key not in self.table and variable in self.environ else key

    def label(self, key: str) -> str:
        """Return the name, with its table unless a variable sets the value."""
        name = self.name(key)
        return self.sentence(name) if name == key else name

    def sentence(self, text: str) -> str:
        """Return a sentence about the project, with its table."""
        return f"{self.place}: {text}" if self.place else text

    @property
    def key_variables(self) -> dict[str, str | None]:
        """The variables of credentials that the table names, by part; None for a wrong name."""
        table = self.table or {}
        given = {part: table[key] for part in KEY_VARIABLES if (key := f"{part}_env") in table}
        return {part: values.variable_name(name) for part, name in given.items()}

    def values(self) -> dict[str, Any]:
        """Return the policy of the environment, and in its place what the table has."""
        policy: dict[str, Any] = {**from_environment(PolicySettings, self.environ)}
        if self.table is not None:
            return policy | dict(self.table)
        return policy | ({"id": self.environ[PROJECT_ID]} if PROJECT_ID in self.environ else {})


def read_projects(
    environ: Mapping[str, str], file: Path | None, problems: list[str]
) -> tuple[list[ProjectSettings], set[str]]:
    """Read the projects, and the names of the variables that the file names.

    With a file, its projects alone count.
    """
    read_environment(PolicySettings, environ, problems)  # also where each project has other values
    names = {part: name for part, name in KEY_VARIABLES.items() if name in environ}
    shared = _credentials(names, KEY_VARIABLES.__getitem__, environ, problems) if names else None
    sources = [Source(environ)] if file is None else [*_sources(file, environ, problems)]
    projects, named = [], set[str]()
    for source in sources:
        entry = read(ProjectEntry, source.values(), source.label, problems)
        policies = _policies(source, problems)
        variables = source.key_variables
        if not names and not variables:
            problems.append(source.sentence(NO_CREDENTIALS))
        named.update(filter(None, variables.values()))
        credentials = _own_credentials(source, variables, problems) if variables else shared
        if entry is not None and policies is not None and credentials is not None:
            id_ = entry.id.lower()
            projects.append(
                ProjectSettings(id=id_, name=entry.name, credentials=credentials, policies=policies)
            )
    return projects, named


def _policies(source: Source, problems: list[str]) -> Policies | None:
    """Read the policy also of an entry that has other problems; None where it has some."""
    found, wrong, asked = list[str](), set[str](), set[str]()

    def label(key: str) -> str:
        wrong.add(key)
        return source.label(key)

    def name(key: str) -> str:
        asked.add(key)
        return source.name(key)

    values = source.values()
    policy = read(PolicySettings, values, label, found)
    if policy is None:  # the right values show more problems
        right = {key: value for key, value in values.items() if key not in wrong}
        policy = PolicySettings.model_validate(right)
    if "break_glass" in wrong:  # more requesters leave more approvers
        wrong.add("approvers")
    policies = policy.policies(_cluster_rules(source, found))
    for problem in policy_problems(policies, name):
        if asked.isdisjoint(wrong):
            found.append(source.sentence(problem))
        asked.clear()
    problems.extend(found)
    return None if found else policies


def _cluster_rules(source: Source, problems: list[str]) -> tuple[ClusterRule, ...]:
    """Read the tables of clusters; a wrong one is a rule for none."""
    tables = (source.table or {}).get("clusters", [])
    if not _are_tables(tables):
        return ()  # which the reader of the entry reports
    rules = []
    for number, table in enumerate(tables, 1):
        label = f"{source.place}: clusters number {number}: {{}}".format
        entry = read(ClusterEntry, table, label, problems)
        rules.append(ClusterRule(**dict(entry)) if entry else ClusterRule(names=()))
    return tuple(rules)


def _own_credentials(
    source: Source, variables: Mapping[str, str | None], problems: list[str]
) -> Credentials | None:
    def label(part: str) -> str:
        return source.label(f"{part}_env")

    problems.extend(
        f"{label(part)} names {name}, which is not set: set it"
        for part, name in variables.items()
        if name and name not in source.environ
    )
    return _credentials(variables, label, source.environ, problems)


def _credentials(
    names: Mapping[str, str | None], label: Label, environ: Mapping[str, str], problems: list[str]
) -> Credentials | None:
    """Read the credentials from the variables `names`, by part; None for a wrong name."""
    found = {part: name for part, name in names.items() if name and name in environ}
    given = {part: environ[name] for part, name in found.items()}
    keys = read(AtlasKeys, given, found.__getitem__, problems)
    kinds = [parts for parts in KINDS if not names.keys().isdisjoint(parts)]
    if len(kinds) > 1:
        first, *others = (label(part) for part in names)
        together = " and ".join([first, *map(_name_alone, others)])
        problems.append(f"{together} are set together: keep the API key or the service account")
        return None
    (parts,) = kinds
    missing = [part for part in parts if part not in names]
    if missing:
        (given_part,) = (part for part in parts if part in names)
        other = _name_alone(label(given_part))
        problems.append(f"{label(missing[0])} is not set: {other} needs it too")
    key_id, secret = (getattr(keys, part, None) for part in parts)
    if key_id is None or secret is None:
        return None
    return KINDS[parts](key_id.get_secret_value(), secret)


def _name_alone(label: str) -> str:
    """Return a label without its table, where a sentence has named the table already."""
    return label.rpartition(": ")[2]


def _sources(path: Path, environ: Mapping[str, str], problems: list[str]) -> Iterator[Source]:
    tables = _read_file(path, problems)
    for number, table in enumerate(tables, 1):
        name = table.get("name")
        title = f'"{name}"' if isinstance(name, str) and name.strip() else f"number {number}"
        yield Source(environ, f"{FILE}, project {title}", table)
        if name is None:
            must = extra(ProjectEntry.model_fields["name"], "must")
            problems.append(f"{FILE}, project {title}: name is not set: it must be {must}")
    for key in ("name", "id"):
        problems.extend(_duplicates(key, (table.get(key) for table in tables)))


def _duplicates(key: str, values: Iterable[object]) -> Iterator[str]:
    counts = Counter(value.casefold() for value in values if isinstance(value, str))
    for value, count in counts.items():
        if count > 1:
            yield f'{FILE} has the {key} "{value}" {count} times: each project needs another'


def _read_file(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """Return the tables of the file, or none after a problem."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        problems.append(f"{FILE} names {path}, which cannot be read: {error.strerror}")
        return []
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{FILE} names {path}, which is not valid TOML: {error}")
        return []
    except UnicodeDecodeError:
        problems.append(f"{FILE} names {path}, which is not text in UTF-8")
        return []
    projects = content.pop("projects", [])
    problems.extend(f"{FILE}: {key} is not a key: the file has [[projects]]" for key in content)
    if projects and _are_tables(projects):
        return list(projects)
    problems.append(f"{FILE} names {path}, which must have one [[projects]] or more")
    return []


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
