"""Build the projects: one from variables, or several from the projects file."""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator
from pydantic.json_schema import GenerateJsonSchema

from bot.atlas import Credentials
from bot.settings import parsers
from bot.settings.credentials import DEFAULT_VARIABLES, Label, read_credentials
from bot.settings.parsers import Model, parser, read, setting
from bot.settings.policy import (
    POLICY_KEYS,
    DefaultPolicy,
    OrganizationSettings,
    PolicyHolder,
    PolicySettings,
    ProjectSettings,
    policy_problems,
)

FILE = "BOT_PROJECTS_FILE"
#: The draft that editors of TOML support.
DRAFT = "http://json-schema.org/draft-07/schema#"

VARIABLE_SCHEMA = Annotated[str, Field(pattern="^[A-Z_][A-Z0-9_]*$")]
NAME_SCHEMA = Annotated[str, Field(pattern=f"^{parsers.PROJECT_NAME}$")]
ID_SCHEMA = Annotated[str, Field(pattern="^[0-9a-fA-F]{24}$")]

VariableName = Annotated[str | None, parser(parsers.variable_name, VARIABLE_SCHEMA)]
ProjectName = Annotated[str | None, parser(parsers.project_name, NAME_SCHEMA)]
AtlasId = Annotated[str | None, parser(parsers.atlas_id, ID_SCHEMA)]
Patterns = Annotated[tuple[str, ...], parser(parsers.patterns, list[str])]


class Entry(PolicySettings):
    """Credentials and policy, where they are given."""

    model_config = ConfigDict(extra="forbid")

    public_key_env: VariableName = setting("the variable that holds the API key's public part")
    private_key_env: VariableName = setting("the variable that holds its private part")
    client_id_env: VariableName = setting("the variable that holds a service account's id")
    client_secret_env: VariableName = setting("the variable that holds its secret")

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
_HEADER = re.compile(r"\s*\[\[\s*(projects|organizations)\s*\]\]")
_KEY = re.compile(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*=""")

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
        problems.extend(policy_problems(policy, _rule_label(policy, {}, str)))
    if project_id is None or credentials is None:
        return []
    return [ProjectSettings.of(policy, credentials, name=None, id=project_id)]


def read_projects_file(path: Path, defaults: Defaults) -> list[PolicyHolder]:
    try:
        lines, tables = _tables(path, defaults.problems)
    except ValueError as error:
        defaults.problems.append(f"{FILE} names {path}, which {error}")
        return []
    holders = [
        _read_table(kind, number, table, _label(table, kind, number, lines), defaults)
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


#: The lines of keys by the kind and number of their table, counted from 1, and their name; the
#: header's name is empty.
Lines: TypeAlias = Mapping[tuple[str, int, str], int]


def _tables(path: Path, problems: list[str]) -> tuple[Lines, Mapping[str, list[dict[str, Any]]]]:
    """Read the lines of the file's keys and its tables; `ValueError` says why there are none."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors write a mark before it
        content = tomllib.loads(text)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValueError as error:  # both TOMLDecodeError and UnicodeDecodeError
        why = error if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8 text"
        raise ValueError(f"is not valid TOML: {why}") from None
    unknown = [key for key in content if key not in ENTRIES]
    lines = positions(text)
    problems.extend(
        f"{FILE}{_line(lines.get(('', 0, key)))}: {key} is not a known key" for key in unknown
    )
    tables = {kind: content.get(kind, []) for kind in ENTRIES}
    if not any(tables.values()) or not all(map(_are_tables, tables.values())):
        raise ValueError("must have one [[projects]] or more, or [[organizations]]")
    return lines, tables


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def positions(text: str) -> Lines:
    """Find the lines of keys, which `tomllib` does not return; unusual spellings are not found."""
    kind, counts, lines = "", Counter[str](), {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            kind = header[1]
            counts[kind] += 1
            lines[kind, counts[kind], ""] = number
        elif found := _KEY.match(line):
            lines.setdefault((kind, counts[kind], found[1]), number)
    return lines


def _line(number: int | None) -> str:
    return f", line {number}" if number else ""


def _label(table: Mapping[str, Any], kind: str, position: int, lines: Lines) -> Label:
    """Return a function that names a key of a table in sentences, with its line."""
    name = table.get("name")
    called = f'"{name}"' if isinstance(name, str) and name.strip() else f"number {position}"

    def label(key: str) -> str:
        line = _line(lines.get((kind, position, key)) or lines.get((kind, position, "")))
        return f"{FILE}{line}, {kind.removesuffix('s')} {called}: {key}"

    return label


def _read_table(
    kind: str, number: int, table: Mapping[str, Any], label: Label, defaults: Defaults
) -> PolicyHolder | None:
    """Build what a table describes; None when it or the default credentials have problems."""
    problems: list[str] = []
    entry = read(ENTRIES[kind], table, problems, label)
    required = ("name", "id") if kind == "projects" else ()
    problems.extend(f"{label(key)} is missing" for key in required if key not in table)
    own_rules = {key: getattr(entry, key) for key in entry.model_fields_set & set(POLICY_KEYS)}
    policy = defaults.policy.model_copy(update=own_rules)
    if defaults.is_policy_valid and not problems:
        problems.extend(policy_problems(policy, _rule_label(policy, table, label)))
    credentials = _credentials(entry, table, label, defaults, problems)
    defaults.problems.extend(problems)
    if problems or credentials is None:
        return None
    own = entry.model_dump(include={"name", "id", "include", "exclude"})
    if kind == "projects":
        return ProjectSettings.of(policy, credentials, **own)
    return OrganizationSettings.of(policy, credentials, name=f"organization number {number}", **own)


def _credentials(
    entry: Entry, table: Mapping[str, Any], label: Label, defaults: Defaults, problems: list[str]
) -> Credentials | None:
    keys = {part: f"{part}_env" for part in DEFAULT_VARIABLES if f"{part}_env" in table}
    variables = {part: getattr(entry, key) for part, key in keys.items()}
    defaults.named.update(filter(None, variables.values()))
    if None in variables.values():
        return None  # an invalid name of a variable is reported already
    if variables:
        return read_credentials(
            variables, lambda part: label(f"{part}_env"), defaults.environ, problems
        )
    if not defaults.has_credential_variables:
        problems.append(
            f"{label('')}{NO_CREDENTIALS}, or name variables by public_key_env and so on"
        )
    return defaults.credentials


def _rule_label(policy: PolicySettings, table: Mapping[str, Any], label_of: Label) -> Label:
    """Return a function that names a rule in sentences: by the file's key or by the variable."""

    def label(rule: str) -> str:
        name = label_of(rule) if rule in table else f"BOT_{rule.upper()}"
        is_inherited = rule == "approvers" and policy.approvers is None
        return f"{name} (by default the requesters)" if is_inherited else name

    return label


class ProjectsFile(Model):
    """Several projects of cancel-restore, named by BOT_PROJECTS_FILE."""

    model_config = ConfigDict(extra="forbid")

    projects: list[ProjectEntry] = Field(default=[], min_length=1)
    organizations: list[OrganizationEntry] = Field(default=[], min_length=1)


class _Generator(GenerateJsonSchema):
    ignored_warning_kinds = {"non-serializable-default"}  # noqa: RUF012 - pydantic's own attribute


def json_schema() -> dict[str, Any]:
    schema = ProjectsFile.model_json_schema(schema_generator=_Generator)
    schema["$defs"]["ProjectEntry"]["required"] = ["name", "id"]
    schema["anyOf"] = [{"required": ["projects"]}, {"required": ["organizations"]}]
    for entry in (*schema["$defs"].values(), schema):
        for name, key in entry["properties"].items():
            # The defaults are those of the variables, which an editor does not know.
            for unwanted in ("default", "shown", "title"):
                key.pop(unwanted, None)
            if name in POLICY_KEYS:
                key["description"] += f" (in place of BOT_{name.upper()})"
    return {"$schema": DRAFT, **schema}
