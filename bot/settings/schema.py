"""The JSON Schema of the projects file, for editors."""

from typing import Any

from pydantic import ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema

from bot.cancellation.policy import Mode
from bot.settings.credentials import KINDS
from bot.settings.parsers import Model
from bot.settings.policy import POLICY_KEYS
from bot.settings.projects import OrganizationEntry, ProjectEntry

#: The draft that editors of TOML support.
DRAFT = "http://json-schema.org/draft-07/schema#"
#: What cannot be together: a quarantine, and no channel in which approvers keep downloads.
NO_CHANNEL = {"watch_channel": {"enum": ["none", ""]}}
QUARANTINE = {"quarantine": {"enum": [Mode.OBSERVE.value, Mode.ENFORCE.value]}}
UNWATCHED = {"properties": NO_CHANNEL | QUARANTINE, "required": ["watch_channel", "quarantine"]}
#: The keys of an API key, and those of a service account: all of one kind belong together.
CREDENTIALS = [[f"{part}_env" for part in parts] for parts in KINDS]
TWO_CREDENTIALS = {"required": [first for first, _second in CREDENTIALS]}


class ProjectsFile(Model):
    """Several projects of cancel-restore, named by BOT_PROJECTS_FILE."""

    model_config = ConfigDict(extra="forbid")

    projects: list[ProjectEntry] = Field(default=[], min_length=1)
    organizations: list[OrganizationEntry] = Field(default=[], min_length=1)


class _Generator(GenerateJsonSchema):
    ignored_warning_kinds = {"non-serializable-default"}  # noqa: RUF012 - pydantic's own attribute


def _inherited(of_project: dict[str, Any], of_cluster: dict[str, Any]) -> dict[str, Any]:
    """Return the projects one of whose clusters has a value that does not fit the project's."""
    inherits = {"required": list(of_cluster), "not": {"required": list(of_project)}}
    clusters = {"clusters": {"contains": {"properties": of_cluster, **inherits}}}
    return {"properties": of_project | clusters, "required": [*of_project, "clusters"]}


def json_schema() -> dict[str, Any]:
    schema = ProjectsFile.model_json_schema(schema_generator=_Generator)
    schema["$defs"]["ProjectEntry"]["required"] = ["name", "id"]
    schema["$defs"]["ClusterEntry"]["required"] = ["names"]
    schema["anyOf"] = [{"required": ["projects"]}, {"required": ["organizations"]}]
    for kind in ("ProjectEntry", "OrganizationEntry", "ClusterEntry"):
        refused = [UNWATCHED, TWO_CREDENTIALS]
        if kind != "ClusterEntry":
            refused += [_inherited(NO_CHANNEL, QUARANTINE), _inherited(QUARANTINE, NO_CHANNEL)]
        schema["$defs"][kind]["not"] = {"anyOf": refused}
        schema["$defs"][kind]["dependencies"] = {key: keys for keys in CREDENTIALS for key in keys}
    for title, entry in {**schema["$defs"], "": schema}.items():
        for name, key in entry["properties"].items():
            # The defaults are those of the variables, which an editor does not know.
            for unwanted in ("default", "shown", "title"):
                key.pop(unwanted, None)
            if name in POLICY_KEYS:
                other = "the project's" if title == "ClusterEntry" else f"BOT_{name.upper()}"
                key["description"] += f" (in place of {other})"
    return {"$schema": DRAFT, **schema}
