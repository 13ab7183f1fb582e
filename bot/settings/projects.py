"""Build the projects: one from variables, or several from the projects file."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator

from bot.atlas import Credentials
from bot.cancellation.cluster_entries import is_hidden
from bot.cancellation.policy import ClusterPolicy, Policies
from bot.settings import parsers
from bot.settings.credentials import DEFAULT_VARIABLES, Label, read_credentials
from bot.settings.parsers import parser, read, setting
from bot.settings.policy import (
    POLICY_KEYS,
    DefaultPolicy,
    OrganizationSettings,
    PolicyHolder,
    PolicySettings,
    ProjectPolicySettings,
    ProjectSettings,
    policy_problems,
)

FILE = "BOT_PROJECTS_FILE"

VARIABLE_SCHEMA = Annotated[str, Field(pattern="^[A-Z_][A-Z0-9_]*$")]
NAME_SCHEMA = Annotated[str, Field(pattern=f"^{parsers.PROJECT_NAME}$")]
ID_SCHEMA = Annotated[str, Field(pattern="^[0-9a-fA-F]{24}$")]

VariableName = Annotated[str | None, parser(parsers.variable_name, VARIABLE_SCHEMA)]
ProjectName = Annotated[str | None, parser(parsers.project_name, NAME_SCHEMA)]
AtlasId = Annotated[str | None, parser(parsers.atlas_id, ID_SCHEMA)]
NOT_BLANK = Annotated[str, Field(pattern=r"\S")]
Patterns = Annotated[tuple[str, ...], parser(parsers.patterns, list[NOT_BLANK])]
Names = Annotated[list[NOT_BLANK], Field(min_length=1)]
ClusterNames = Annotated[tuple[str, ...], parser(parsers.cluster_names, Names)]
Note = Annotated[str, parser(parsers.note, Annotated[str, Field(max_length=parsers.MAX_NOTE)])]


class PolicyEntry(PolicySettings):
    """The policy, where it is given."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="wrap")
    @classmethod
    def _is_unquoted(cls, value: object, parse: ValidatorFunctionWrapHandler) -> object:
        """Reject numbers, true and false as texts, which the parsers take from variables."""
        parsed: object = parse(value)
        is_quoted = isinstance(value, str) and isinstance(parsed, (int, timedelta))
        if is_quoted:
            kind = "true or false" if isinstance(parsed, bool) else "a whole number"
            raise ValueError(f"must be {kind}, without quotation marks")
        return parsed

    def over(self, policy: PolicySettings) -> PolicySettings:
        """Return `policy` with the rules that are given here."""
        own = {key: getattr(self, key) for key in self.model_fields_set & set(POLICY_KEYS)}
        return policy.model_copy(update=own)


class ClusterEntry(PolicyEntry):
    """The policy of some clusters, over that of their project; the first that matches holds."""

    names: ClusterNames = setting("names of clusters, in any case, with `*` and `?`", default=())
    note: Note = setting("shown on dialog, card and announcement, up to 200 characters", default="")


class Entry(PolicyEntry, ProjectPolicySettings):
    """Credentials and policies, where they are given."""

    model_config = ConfigDict(extra="forbid")  # of two bases, the last one's would hold

    public_key_env: VariableName = setting("the variable that holds the API key's public part")
    private_key_env: VariableName = setting("the variable that holds its private part")
    client_id_env: VariableName = setting("the variable that holds a service account's id")
    client_secret_env: VariableName = setting("the variable that holds its secret")
    clusters: list[ClusterEntry] = setting("policies of clusters", default=[])


class ProjectEntry(Entry):
    """One project in Atlas, with its own credentials and policy where they are given."""

    name: ProjectName = setting("the name that people type: one word, unique")
    id: AtlasId = setting("the project (group) id, 24 hexadecimal digits")


class OrganizationEntry(Entry):
    """All projects that the credentials see; an entry of a single project takes precedence."""

    include: Patterns = setting("names or ids of its projects, with `*` and `?`", default=("*",))
    exclude: Patterns = setting("names or ids that are left out, with `*` and `?`", default=())


#: The kinds of tables in the file.
ENTRIES: Mapping[str, type[Entry]] = {"projects": ProjectEntry, "organizations": OrganizationEntry}

NO_CREDENTIALS = (
    "has no credentials: set MONGODB_ATLAS_PUBLIC_API_KEY and MONGODB_ATLAS_PRIVATE_API_KEY (an "
    "API key), or MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET (a service account)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """The settings of projects that have no others, and the problems of all of them."""

    environ: Mapping[str, str]  #: in which the `…_env` keys of entries are looked up
    policy: PolicySettings
    is_policy_valid: bool  #: after errors in `BOT_` variables, the policy is not checked further
    credentials: Credentials | None
    has_credential_variables: bool  #: errors in them are reported already
    problems: list[str]
    named: set[str] = field(default_factory=set)  #: the variables that entries name


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the file, by its place in sentences, and the problems in it."""

    place: str
    keys: Mapping[str, Any]
    problems: list[str] = field(default_factory=list)

    def label(self, key: str) -> str:
        return f"{self.place}: {key}"

    def require(self, *keys: str) -> None:
        self.problems.extend(
            f"{self.label(key)} is missing" for key in keys if key not in self.keys
        )


def read_projects(
    project_id: str | None, environ: Mapping[str, str], folder: Path, problems: list[str]
) -> tuple[list[PolicyHolder], set[str]]:
    """Read the projects file, with the variables that its entries name, or the single project."""
    found = len(problems)
    policy = read(DefaultPolicy, environ, problems)
    logins = {part: name for part, name in DEFAULT_VARIABLES.items() if name in environ}
    defaults = Defaults(
        environ=environ,
        policy=policy,
        is_policy_valid=len(problems) == found,
        has_credential_variables=bool(logins),
        credentials=read_credentials(logins, DEFAULT_VARIABLES.__getitem__, environ, problems),
        problems=problems,
    )
    if FILE in environ:
        return read_projects_file(folder / environ[FILE], defaults), defaults.named
    return single_project(project_id, defaults), defaults.named


def single_project(project_id: str | None, defaults: Defaults) -> list[PolicyHolder]:
    problems, policy, credentials = defaults.problems, defaults.policy, defaults.credentials
    if "MONGODB_ATLAS_PROJECT_ID" not in defaults.environ:
        problems.append(
            "MONGODB_ATLAS_PROJECT_ID is not set: give the project's id, "
            "or several projects in a file by BOT_PROJECTS_FILE"
        )
    if not defaults.has_credential_variables:
        problems.append(f"The Atlas project {NO_CREDENTIALS}")
    if defaults.is_policy_valid:
        problems.extend(policy_problems(policy, _rule_label(policy)))
    if project_id is None or credentials is None:
        return []
    policies = Policies(policy.policy())
    return [ProjectSettings(name=None, id=project_id, policies=policies, credentials=credentials)]


def read_projects_file(path: Path, defaults: Defaults) -> list[PolicyHolder]:
    try:
        tables = _tables(path, defaults.problems)
    except ValueError as error:
        defaults.problems.append(f"{FILE} names {path}, which {error}")
        return []
    holders = [
        _read_table(kind, number, table, defaults)
        for kind in ENTRIES
        for number, table in enumerate(tables[kind], 1)
    ]
    for key in ("name", "id"):
        values = (table[key] for table in tables["projects"] if isinstance(table.get(key), str))
        counts = Counter(value.strip().casefold() for value in values)  # names: in any case
        defaults.problems.extend(
            f'{FILE} has the {key} "{value}" {count} times: it must be unique'
            for value, count in counts.items()
            if count > 1
        )
    return [each for each in holders if each]


def _tables(path: Path, problems: list[str]) -> Mapping[str, list[dict[str, Any]]]:
    """Read the file's tables; `ValueError` says why there are none."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors write a mark before it
        content = tomllib.loads(text)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValueError as error:  # both TOMLDecodeError and UnicodeDecodeError
        why = error if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8 text"
        raise ValueError(f"is not valid TOML: {why}") from None
    problems.extend(f"{FILE}: {key} is not a known key" for key in content if key not in ENTRIES)
    tables = {kind: content.get(kind, []) for kind in ENTRIES}
    if not any(tables.values()) or not all(map(_are_tables, tables.values())):
        raise ValueError("must have one [[projects]] or more, or [[organizations]]")
    return tables


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _read_table(
    kind: str, number: int, keys: Mapping[str, Any], defaults: Defaults
) -> PolicyHolder | None:
    """Build what a table describes; None when it or the default credentials have problems."""
    name = keys.get("name")
    called = f'"{name}"' if isinstance(name, str) and name.strip() else f"number {number}"
    table = Table(f"{FILE}, {kind.removesuffix('s')} {called}", keys)
    entry = read(ENTRIES[kind], {**keys, "clusters": []}, table.problems, table.label)
    table.require(*(("name", "id") if kind == "projects" else ()))
    policy = entry.over(defaults.policy)
    if is_valid := defaults.is_policy_valid and not table.problems:
        table.problems.extend(policy_problems(policy, _rule_label(policy, table)))
    clusters = _read_clusters(kind, table, policy, check_policy=is_valid)
    credentials = _credentials(entry, table, defaults)
    defaults.problems.extend(table.problems)
    if table.problems or credentials is None:
        return None
    own = entry.model_dump(include={"name", "id", "include", "exclude"})
    own |= {"policies": Policies(policy.policy(), clusters), "credentials": credentials}
    if kind == "projects":
        return ProjectSettings(**own)
    return OrganizationSettings(**own | {"name": f"organization number {number}"})


def _read_clusters(
    kind: str, table: Table, project: PolicySettings, *, check_policy: bool
) -> tuple[ClusterPolicy, ...]:
    """Read the policies of clusters, over that of their project or organization."""
    tables, clusters = table.keys.get("clusters", []), []
    if not _are_tables(tables):
        table.problems.append(f"{table.label('clusters')} must be tables: [[{kind}.clusters]]")
        return ()
    for position, keys in enumerate(tables, 1):
        own = Table(table.label(f"clusters number {position}"), keys)
        entry = read(ClusterEntry, keys, own.problems, own.label)
        own.require("names")
        policy = entry.over(project)
        clusters.append(ClusterPolicy(entry.names, replace(policy.policy(), note=entry.note)))
        if check_policy and not own.problems and not is_hidden(clusters, position - 1):
            own.problems.extend(policy_problems(policy, _rule_label(policy, own, table)))
        table.problems.extend(own.problems)
    return tuple(clusters)


def _credentials(entry: Entry, table: Table, defaults: Defaults) -> Credentials | None:
    keys = {part: f"{part}_env" for part in DEFAULT_VARIABLES if f"{part}_env" in table.keys}
    variables = {part: getattr(entry, key) for part, key in keys.items()}
    defaults.named.update(filter(None, variables.values()))
    if None in variables.values():
        return None  # an invalid name of a variable is reported already
    if variables:
        return read_credentials(
            variables, lambda part: table.label(f"{part}_env"), defaults.environ, table.problems
        )
    if not defaults.has_credential_variables:
        table.problems.append(
            f"{table.label('')}{NO_CREDENTIALS}, or name variables by public_key_env and so on"
        )
    return defaults.credentials


def _rule_label(policy: PolicySettings, *tables: Table) -> Label:
    """Return a function that names a rule in sentences: by the file's key or by the variable."""

    def label(rule: str) -> str:
        keys = (table.label(rule) for table in tables if rule in table.keys)
        name = next(keys, f"BOT_{rule.upper()}")
        is_inherited = rule == "approvers" and policy.approvers is None
        return f"{name} (by default the requesters)" if is_inherited else name

    return label
