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
#: A quarantine without a channel, in which approvers keep downloads.
UNWATCHED = {
    "properties": {
        "watch_channel": {"enum": ["none", ""]},
        "quarantine": {"enum": [Mode.OBSERVE.value, Mode.ENFORCE.value]},
    },
    "required": ["watch_channel", "quarantine"],
}
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


def json_schema() -> dict[str, Any]:
    schema = ProjectsFile.model_json_schema(schema_generator=_Generator)
    schema["$defs"]["ProjectEntry"]["required"] = ["name", "id"]
    schema["$defs"]["ClusterEntry"]["required"] = ["names"]
    schema["anyOf"] = [{"required": ["projects"]}, {"required": ["organizations"]}]
    for kind in ("ProjectEntry", "OrganizationEntry", "ClusterEntry"):
        schema["$defs"][kind]["not"] = {"anyOf": [UNWATCHED, TWO_CREDENTIALS]}
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
