"""The projects file as pydantic models, and its JSON Schema."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema

from bot.settings import parsers
from bot.settings.base import Model, parser, setting
from bot.settings.policy import POLICY_KEYS, PolicySettings

#: The draft that editors of TOML support.
DRAFT = "http://json-schema.org/draft-07/schema#"

VARIABLE_SCHEMA = Annotated[str, Field(pattern="^[A-Z_][A-Z0-9_]*$")]
NAME_SCHEMA = Annotated[str, Field(pattern=r"^[^\s/]{1,64}$")]
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

    def policy_over(self, defaults: PolicySettings) -> PolicySettings:
        """Return the policy keys of this entry, and `defaults` for the others."""
        given = {name: getattr(self, name) for name in self.model_fields_set & set(POLICY_KEYS)}
        return defaults.model_copy(update=given)


class ProjectEntry(Entry):
    """One project in Atlas, with its own credentials and policy where they are given."""

    name: ProjectName = setting("the name that people type: one word, unique")
    id: AtlasId = setting("the project (group) id, 24 hexadecimal digits")


class OrganizationEntry(Entry):
    """All projects that the credentials see; an entry of a single project takes precedence."""

    include: Patterns = setting("names or ids of its projects, with `*` and `?`", default=("*",))
    exclude: Patterns = setting("names or ids that are left out, with `*` and `?`", default=())


class ProjectsFile(Model):
    """Several projects of cancel-restore, named by BOT_PROJECTS_FILE."""

    model_config = ConfigDict(extra="forbid")

    projects: list[ProjectEntry] = Field(default=[], min_length=1)
    organizations: list[OrganizationEntry] = Field(default=[], min_length=1)


class _Generator(GenerateJsonSchema):
    ignored_warning_kinds = {"non-serializable-default"}  # noqa: RUF012 - pydantic's own attribute


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the projects file, for editors."""
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
