"""Build the projects: one from variables, or several from the projects file."""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from bot.atlas import Credentials
from bot.cancellation.people import NO_ONE
from bot.cancellation.policy import Policy
from bot.settings.base import read
from bot.settings.credentials import DEFAULT_VARIABLES, Label, read_credentials
from bot.settings.holders import OrganizationSettings, ProjectSettings
from bot.settings.model import PolicySettings
from bot.settings.projects_file import Entry, OrganizationEntry, ProjectEntry

FILE = "BOT_PROJECTS_FILE"

#: The kinds of tables in the file.
PROJECT, ORGANIZATION = "projects", "organizations"

_HEADER = re.compile(r"\s*\[\[\s*(projects|organizations)\s*\]\]")
_KEY = re.compile(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*=""")

NO_CREDENTIALS = (
    "has no credentials: set MONGODB_ATLAS_PUBLIC_API_KEY and MONGODB_ATLAS_PRIVATE_API_KEY (an "
    "API key), or MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET (a service account)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """The settings of projects that have no others."""

    environ: Mapping[str, str]  #: in which the `…_env` keys of entries are looked up
    policy: PolicySettings
    is_policy_valid: bool  #: after errors in `BOT_` variables, the policy is not checked further
    credentials: Credentials | None

    @property
    def has_credential_variables(self) -> bool:
        """Whether default credentials are given; errors in them are reported already."""
        return any(name in self.environ for name in DEFAULT_VARIABLES.values())


def single_project(
    project_id: str | None, defaults: Defaults, problems: list[str]
) -> tuple[ProjectSettings, ...]:
    """Build the project of `MONGODB_ATLAS_PROJECT_ID`."""
    if "MONGODB_ATLAS_PROJECT_ID" not in defaults.environ:
        problems.append(
            "MONGODB_ATLAS_PROJECT_ID is not set: give the project's id, "
            "or several projects in a file by BOT_PROJECTS_FILE"
        )
    if not defaults.has_credential_variables:
        problems.append(f"The Atlas project {NO_CREDENTIALS}")
    if defaults.is_policy_valid:
        label = _rule_label(defaults.policy, {}, str)
        problems.extend(policy_problems(defaults.policy.policy(), label))
        problems.extend(quarantine_problems(defaults.policy, label))
    if project_id is None or defaults.credentials is None:
        return ()
    return (_project(None, project_id, defaults.credentials, defaults.policy),)


def read_projects_file(
    path: Path, defaults: Defaults, problems: list[str]
) -> tuple[tuple[ProjectSettings, ...], tuple[OrganizationSettings, ...]]:
    """Build the projects and organizations of the file at `path`."""
    text, tables = _tables(path, problems)
    lines = positions(text)
    projects = [
        _read_project(table, _label(table, PROJECT, n, lines), defaults, problems)
        for n, table in enumerate(tables[PROJECT], 1)
    ]
    organizations = [
        _read_organization(n, table, _label(table, ORGANIZATION, n, lines), defaults, problems)
        for n, table in enumerate(tables[ORGANIZATION], 1)
    ]
    for key in ("name", "id"):
        values = (table[key] for table in tables[PROJECT] if isinstance(table.get(key), str))
        problems.extend(_duplicates(key, values))
    return tuple(filter(None, projects)), tuple(filter(None, organizations))


#: The tables of the file, by kind.
Tables: TypeAlias = Mapping[str, list[dict[str, Any]]]
NO_TABLES: Tables = {PROJECT: [], ORGANIZATION: []}


def _tables(path: Path, problems: list[str]) -> tuple[str, Tables]:
    """Read the text of the file and its tables; no tables when it is invalid."""
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        problems.append(f"{FILE} names {path}, which cannot be read: {error.strerror}")
        return "", NO_TABLES
    except ValueError as error:  # both TOMLDecodeError and UnicodeDecodeError
        why = error if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8 text"
        problems.append(f"{FILE} names {path}, which is not valid TOML: {why}")
        return "", NO_TABLES
    unknown = [key for key in content if key not in NO_TABLES]
    lines = positions(text)
    problems.extend(
        f"{FILE}{_line(lines.get(('', 0, key)))}: {key} is not a known key" for key in unknown
    )
    tables = {kind: content.get(kind, []) for kind in NO_TABLES}
    if not any(tables.values()) or not all(map(_are_tables, tables.values())):
        problems.append(
            f"{FILE} names {path}, which must have one [[projects]] or more, or [[organizations]]"
        )
        return "", NO_TABLES
    return text, tables


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


#: The lines of keys by the kind and number of their table, counted from 1, and their name; the
#: header's name is empty.
Lines: TypeAlias = Mapping[tuple[str, int, str], int]


def positions(text: str) -> Lines:
    """Find the lines of keys, which `tomllib` does not tell; unusual spellings are not found."""
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


def _read_project(
    table: Mapping[str, Any], label: Label, defaults: Defaults, problems: list[str]
) -> ProjectSettings | None:
    own: list[str] = []
    entry = read(ProjectEntry, table, own, label)
    own.extend(f"{label(key)} is missing" for key in ("name", "id") if key not in table)
    policy, credentials = _read_entry(entry, table, label, defaults, own)
    problems.extend(own)
    if entry.name is None or entry.id is None or credentials is None:
        return None
    return _project(entry.name, entry.id, credentials, policy)


def _read_organization(
    number: int,
    table: Mapping[str, Any],
    label: Label,
    defaults: Defaults,
    problems: list[str],
) -> OrganizationSettings | None:
    own: list[str] = []
    entry = read(OrganizationEntry, table, own, label)
    policy, credentials = _read_entry(entry, table, label, defaults, own)
    problems.extend(own)
    if credentials is None:
        return None
    return OrganizationSettings(
        name=f"organization number {number}",
        credentials=credentials,
        policy=policy.policy(),
        watch_channel=policy.watch_channel,
        include=entry.include,
        exclude=entry.exclude,
    )


def _read_entry(
    entry: Entry, table: Mapping[str, Any], label: Label, defaults: Defaults, problems: list[str]
) -> tuple[PolicySettings, Credentials | None]:
    """Read the policy and the credentials of an entry."""
    policy = entry.policy_over(defaults.policy)
    if defaults.is_policy_valid and not problems:
        rule_label = _rule_label(policy, table, label)
        problems.extend(policy_problems(policy.policy(), rule_label))
        problems.extend(quarantine_problems(policy, rule_label))
    named = [part for part in DEFAULT_VARIABLES if f"{part}_env" in table]
    return policy, _credentials(entry, label, named, defaults, problems)


def _credentials(
    entry: Entry, label: Label, named: list[str], defaults: Defaults, problems: list[str]
) -> Credentials | None:
    variables = {part: getattr(entry, f"{part}_env") for part in named}
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


def _project(
    name: str | None, project_id: str, credentials: Credentials, policy: PolicySettings
) -> ProjectSettings:
    return ProjectSettings(
        name=name,
        id=project_id,
        credentials=credentials,
        policy=policy.policy(),
        watch_channel=policy.watch_channel,
    )


def _rule_label(policy: PolicySettings, table: Mapping[str, Any], label_of: Label) -> Label:
    """Return a function that names a rule in sentences: by the file's key or by the variable."""

    def label(rule: str) -> str:
        name = label_of(rule) if rule in table else f"BOT_{rule.upper()}"
        is_inherited = rule == "approvers" and policy.approvers is None
        return f"{name} (by default the requesters)" if is_inherited else name

    return label


def _duplicates(key: str, values: Iterable[str]) -> list[str]:
    """Report values that occur several times; names are typed in any case."""
    counts = Counter(value.strip().casefold() for value in values)
    return [
        f'{FILE} has the {key} "{value}" {count} times: it must be unique'
        for value, count in counts.items()
        if count > 1
    ]


def policy_problems(policy: Policy, label: Callable[[str], str]) -> list[str]:
    """Return why no request could be approved under `policy`; an empty list when one could.

    Members of user groups are known to Slack only, so a policy that names a group is accepted.
    """
    if policy.approvals == 0 or policy.approvers.everyone or policy.approvers.groups:
        return []
    available = len(policy.approvers.users)
    fix = "name more people there, or a user group, or require fewer"
    if available < policy.approvals:
        names = f"{label('approvers')} names {_people(available)}"
        return [f"{label('approvals')} is {policy.approvals}, but {names}: {fix}"]
    if _can_any_request_be_approved(policy):
        return []
    left = f"which leaves {_people(available - 1)} in {label('approvers')}"
    fix = f"{fix}, or set {label('self_approval')}"
    return [
        f"{label('approvals')} is {policy.approvals}, but requesters cannot approve, {left}: {fix}"
    ]


def quarantine_problems(settings: PolicySettings, label: Callable[[str], str]) -> list[str]:
    """Return why nobody could keep a quarantined download; an empty list when somebody could."""
    policy = settings.policy()
    if not policy.quarantine.is_on:
        return []
    mode = f"{label('quarantine')} is {policy.quarantine.mode}"
    problems = []
    if settings.watch_channel is None:
        fix = f"set {label('watch_channel')}, in which approvers keep downloads"
        problems.append(f"{mode}, but no channel is watched: {fix}")
    if policy.approvers == NO_ONE:
        problems.append(f"{mode}, but {label('approvers')} names no one who may keep a download")
    return problems


def _can_any_request_be_approved(policy: Policy) -> bool:
    """Return whether enough approvers remain beside at least one requester."""
    if policy.self_approval or policy.requesters.everyone or policy.requesters.groups:
        return True
    approvers = policy.approvers.users
    return any(len(approvers - {user}) >= policy.approvals for user in policy.requesters.users)


def _people(count: int) -> str:
    return {0: "no one", 1: "one person"}.get(count, f"{count} people")
