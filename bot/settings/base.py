"""The base of the settings' models, and how they are read: each problem is a sentence."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic import PlainValidator as Parser
from pydantic_core import ErrorDetails


def parser(parse: Callable[[object], object], schema: Any) -> Parser:  # noqa: ANN401 - a type
    """Return a validator that parses; `schema` is the type of a value in the projects file."""
    return Parser(parse, json_schema_input_type=schema)


def setting(
    description: str, *, default: object = None, alias: str | None = None, shown: str | None = None
) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Declare a setting; `shown` replaces its default in the table in docs/settings.md."""
    return Field(default, description=description, alias=alias, json_schema_extra={"shown": shown})


class Model(BaseModel):
    """A frozen model, which ignores unknown variables."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


ModelT = TypeVar("ModelT", bound=Model)


def read(
    model: type[ModelT],
    given: Mapping[str, Any],
    problems: list[str],
    label: Callable[[str], str] = str,
) -> ModelT:
    """Build `model`, whose fields all have defaults, from the valid values of `given`.

    Each invalid value adds a sentence to `problems`; `label` returns its subject for a variable
    or key.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        wrong = {str(e["loc"][0]): e for e in error.errors(include_url=False, include_input=False)}
    problems.extend(f"{label(name)} {_message(e, model)}" for name, e in wrong.items())
    return model.model_validate({k: v for k, v in given.items() if k not in wrong})


def _message(error: ErrorDetails, model: type[Model]) -> str:
    """Return what is wrong with a value, without the value."""
    if error["type"] == "extra_forbidden":
        return f"is not a known key; the known keys are: {', '.join(model.model_fields)}"
    return str(error.get("ctx", {}).get("error", error["msg"]))
