"""Parse one value of a variable or of the projects file, and read many into a model.

Each parser raises `ValueError` with a sentence that follows the name of the setting. Values are
not quoted, because they may be misplaced secrets; short list items are quoted.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic import PlainValidator as Parser
from pydantic_core import ErrorDetails

from bot.cancellation.people import NO_ONE, People
from bot.cancellation.policy import Mode

StrT = TypeVar("StrT", bound=str)

MAX_SECONDS = 100 * 366 * 24 * 3600  #: a hundred years; larger values would overflow dates
MAX_REMINDERS = 10  #: reminders of one request: each is a direct message to every approver
MAX_NOTE = 200  #: characters
MAX_QUOTED_LENGTH = 20  #: longer items of a list may be tokens or keys and are not quoted
TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})
PRINTABLE = re.compile(r"[!#-~]+")  # without the quotation mark, which would end a header
PEOPLE = re.compile(r"(\*|[UWS][A-Z0-9]+)")
NAMED_PEOPLE = re.compile(r"[UWS][A-Z0-9]+")
CHANNEL = re.compile(r"[CGD][A-Z0-9]+")
STARTER = re.compile(r"[^\s;]+")
_OTHER_SEPARATOR = re.compile(r"[\s;]")
_NUMBER = re.compile(r"[0-9]{1,18}")


def text(value: object) -> str:
    given = value.strip() if isinstance(value, str) else ""
    if not given:
        raise ValueError("must be text that is not empty")
    return given


def matching(pattern: str, message: str) -> Callable[[object], str]:
    """Return a parser of texts that match `pattern` completely."""

    def parse(value: object) -> str:
        given = text(value)
        if not re.fullmatch(pattern, given):
            raise ValueError(message)
        return given

    return parse


#: The name of a variable; a key pasted in its place is rejected.
variable_name = matching(
    r"[A-Z_][A-Z0-9_]*", "must be the name of a variable, such as SHOP_PRIVATE_KEY, not its value"
)
#: The words with which the command begins in Slack, in place of a project or a cluster.
COMMAND_WORDS = (
    r"help|\?|-h|--help|list|history|approve|deny|withdraw|keep|cancel|stop|abort|kill|delete"
)
#: One word of the command, which cannot be mistaken for an id or for another word of it.
PROJECT_NAME = rf"(?!([0-9a-fA-F]{{24}}|{COMMAND_WORDS})$)[^\s/]{{1,64}}"
project_name = matching(
    rf"(?i:{PROJECT_NAME})",
    "must be one word of up to 64 characters, without spaces and slashes, that is neither an id "
    "nor a word of the command, such as list or help",
)


def one_of(
    values: Sequence[StrT], normalize: Callable[[str], str] = str.lower
) -> Callable[[object], StrT]:
    """Return a parser of a word that is one of `values` once it is normalized."""

    def parse(value: object) -> StrT:
        given = normalize(text(value))
        if given not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return values[values.index(given)]

    return parse


quarantine_mode = one_of(tuple(Mode))


def secret(*wrong: tuple[str, str]) -> Callable[[object], SecretStr]:
    """Return a parser of secrets that are sent in HTTP headers.

    `wrong` are the beginnings of other values, as patterns, and the sentence about each.
    """

    def parse(value: object) -> SecretStr:
        given = text(value)
        if not PRINTABLE.fullmatch(given):
            raise ValueError("has spaces or other characters that are not allowed: copy it again")
        for beginning, message in wrong:
            if re.match(beginning, given):
                raise ValueError(message)
        return SecretStr(given)

    return parse


def whole(least: int, most: int, message: str = "") -> Callable[[object], int]:
    def parse(value: object) -> int:
        given = value
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            given = int(value)
        if isinstance(given, int) and not isinstance(given, bool) and least <= given <= most:
            return given
        raise ValueError(message or f"must be a whole number from {least} to {most}")

    return parse


def seconds(value: object) -> timedelta:
    message = f"must be a whole number of seconds, 1 or more (and at most {MAX_SECONDS})"
    return timedelta(seconds=whole(1, MAX_SECONDS, message)(value))


def reminders(value: object) -> tuple[timedelta, ...]:
    """Parse seconds, comma-separated or a list; `0` or an empty list: no reminders."""
    given = value if isinstance(value, list) else split(str(value))
    if isinstance(value, list) and any(isinstance(each, str) for each in value):
        raise ValueError("must be a list of whole numbers, without quotation marks")
    if given in (["0"], [0], []):
        return ()
    with suppress(ValueError):
        times = sorted(set(map(seconds, given)))
        if 0 < len(times) <= MAX_REMINDERS:
            return tuple(times)
    raise ValueError(
        f"must be up to {MAX_REMINDERS} whole numbers of seconds, 1 or more, "
        "with commas between them; or 0 for no reminders"
    )


def flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    given = value.strip().lower() if isinstance(value, str) else ""
    if given not in TRUE | FALSE:
        raise ValueError("must be true or false")
    return given in TRUE


def named_people(value: object) -> People:
    """Parse users and user groups; an empty list in the projects file names no one."""
    fix = "use ids of users (U…) or ids of user groups (S…)"
    return NO_ONE if value == [] else people(value, NAMED_PEOPLE, fix)


def people(
    value: object,
    pattern: re.Pattern[str] = PEOPLE,
    fix: str = "use ids of users (U…), ids of user groups (S…) or *",
) -> People:
    """Parse `U…` and `W…` as users, `S…` as user groups, and `*` as every full member."""
    given = items(value, pattern, fix)
    if not given:
        raise ValueError(f"is empty: {fix}")
    groups = frozenset(each for each in given if each.startswith("S"))
    return People(users=given - groups - {"*"}, groups=groups, everyone="*" in given)


def starters(value: object) -> frozenset[str]:
    """Parse user names, keys and ids of service accounts; their case does not count."""
    fix = "use Atlas user names (an e-mail address), public keys and service-account ids"
    return frozenset(map(str.casefold, items(value, STARTER, fix)))


def channels(value: object) -> frozenset[str]:
    return items(value, CHANNEL, "use ids of channels (C…), at the end of a channel's details")


def note(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_NOTE:
        raise ValueError(f"must be a text of up to {MAX_NOTE} characters")
    return value.strip()


def cluster_names(value: object) -> tuple[str, ...]:
    """Parse at least one name of clusters, with `*` and `?`."""
    if not (names := patterns(value)):
        raise ValueError('must have one name or more, such as ["prod-*"]')
    return names


def patterns(value: object) -> tuple[str, ...]:
    """Parse names or ids with `*` and `?`, which may have spaces."""
    if not isinstance(value, list) or not all(isinstance(i, str) and i.strip() for i in value):
        raise ValueError('must be a list of names or ids, such as ["shop-*"]')
    return tuple(each.strip() for each in value)


def channel(value: object) -> str | None:
    """Parse one channel id; an empty text in the projects file means no channel."""
    given = value.strip() if isinstance(value, str) else "no text"
    if given.startswith("D"):
        raise ValueError("is a direct message (D…): name a channel (C…) that its readers are in")
    if given and not CHANNEL.fullmatch(given):
        raise ValueError(
            "must be the id of a channel (C…), found at the end of the channel's details"
        )
    return given or None


def watch_channel(value: object) -> str | None:
    """Parse one channel id; `none` means a watch without a channel, which is an empty text."""
    return "" if isinstance(value, str) and value.strip() == "none" else channel(value)


def split(value: object) -> list[str]:
    """Split a comma-separated text; a list of texts is taken as it is."""
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise ValueError("must be a list of texts")
    return [item.strip() for item in given if item.strip()]


def items(value: object, pattern: re.Pattern[str], fix: str) -> frozenset[str]:
    """Parse a list of items that match `pattern` completely; `fix` follows the other items."""
    given = split(value)
    unknown = [
        f'"{item}"' if len(item) <= MAX_QUOTED_LENGTH else f"an item of {len(item)} characters"
        for item in given
        if not pattern.fullmatch(item)
    ]
    if unknown:
        is_separated = not any(_OTHER_SEPARATOR.search(item) for item in given)
        commas = "" if is_separated else ", with commas between them"
        raise ValueError(f"has {', '.join(unknown)}: {fix}{commas}")
    return frozenset(given)


def atlas_id(value: object) -> str:
    message = "must be 24 hexadecimal digits: Atlas shows the project's id in Project Settings"
    return matching("[0-9a-fA-F]{24}", message)(value).lower()


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

    Each invalid value adds a sentence to `problems`, about what `label` returns for its name.
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
