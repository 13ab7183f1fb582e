"""Builds a model from values, and says in a sentence what is wrong with each of them."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


def setting(
    variable: str = "",
    description: str = "",
    *,
    must: str,
    default: object = ...,
    shown: str = "",
) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Declare a setting.

    Args:
        variable: the variable that sets it; empty for a key of the projects file alone.
        description: its meaning, in the table of docs/settings.md.
        must: what a value must be, in the sentence about a missing or a wrong one.
        default: its default; without one the setting is required.
        shown: its default in the table, where the value does not say it.
    """
    extra: dict[str, Any] = {"variable": variable, "must": must, "shown": shown}
    return Field(default, description=description, json_schema_extra=extra)


def extra(field: FieldInfo, key: str) -> str:
    """Return what `setting` declared beside the description."""
    declared = field.json_schema_extra
    return str(declared[key]) if isinstance(declared, dict) else ""


ModelT = TypeVar("ModelT", bound=Model)
Label = Callable[[str], str]  #: returns the name of a field in sentences


def read(
    model: type[ModelT], given: Mapping[str, object], label: Label, problems: list[str]
) -> ModelT | None:
    """Build `model`; each value that is wrong or missing adds a sentence to `problems`."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems.extend(_sentences(error, model, label))
        return None


def _sentences(error: ValidationError, model: type[Model], label: Label) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):
        key = str(detail["loc"][0])
        if detail["type"] == "extra_forbidden":
            yield f"{label(key)} {_unknown_key(key, model)}"
            continue
        must = extra(model.model_fields[key], "must")
        reason = str(detail.get("ctx", {}).get("error", ""))
        if detail["type"] == "missing":
            yield f"{label(key)} is not set: it must be {must}"
        else:
            yield f"{label(key)} {reason or f'must be {must}'}"


def _unknown_key(key: str, model: type[Model]) -> str:
    keys = list(model.model_fields)
    if f"{key}_env" in keys:
        return f"is not a key: put the secret into a variable, and name that variable by {key}_env"
    nearest = get_close_matches(key, keys, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"the keys are {', '.join(keys)}"
    return f"is not a key of this table: {hint}"


def from_environment(model: type[Model], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the model's variables that are set, by field."""
    variables = variables_of(model)
    return {key: environ[name] for key, name in variables.items() if name in environ}


def variables_of(model: type[Model]) -> dict[str, str]:
    """Return the variables that set the model's fields, by field."""
    return {
        key: variable
        for key, field in model.model_fields.items()
        if (variable := extra(field, "variable"))
    }


def read_environment(
    model: type[ModelT], environ: Mapping[str, str], problems: list[str]
) -> ModelT | None:
    variables = variables_of(model)
    return read(model, from_environment(model, environ), variables.__getitem__, problems)
