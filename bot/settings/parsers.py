"""One parser a kind of value: of a variable's text, or of what the projects file has.

Each raises `ValueError` with the end of a sentence that begins with the name of the setting. None
quotes a value that may be a secret in the wrong place: only short items of lists are repeated.
"""

from __future__ import annotations

import re
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from pydantic import SecretStr

from bot.atlas import ApiVersion
from bot.cancellation.policy import People

if TYPE_CHECKING:
    from collections.abc import Callable

#: Longer items of a list may be tokens or keys: they are counted, not quoted.
QUOTABLE = 20
#: A hundred years: more overflows dates, and no one waits so long.
MOST_SECONDS = 100 * 366 * 24 * 3600
YES = frozenset({"true", "yes", "on", "1"})
NO = frozenset({"false", "no", "off", "0"})
#: What tracing needs; other programs may have brought a part of it.
OTEL = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
#: The protocol that OpenTelemetry has for all collectors.
OTLP_PROTOCOL = "http/protobuf"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

#: What every token of Slack begins with.
TOKENS = ("xox", "xapp-")

PRINTABLE = re.compile(r"[!#-~]+")  # no quotation mark: a header would end there
_USER = re.compile(r"[UW][A-Z0-9]+")
_GROUP = re.compile(r"S[A-Z0-9]+")
_CHANNEL = re.compile(r"[CGD][A-Z0-9]+")
_ATLAS_ID = re.compile(r"[0-9a-fA-F]{24}")
_PROJECT_NAME = re.compile(r"[^\s/]{1,64}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_TOGETHER = re.compile(r"[\s;]")  # several items, where commas should be
NUMBER = re.compile(r"[0-9]{1,18}")


def text(value: object) -> str:
    given = value.strip() if isinstance(value, str) else ""
    if not given:
        raise ValueError("must be a text, and not an empty one")
    return given


def variable_name(value: object) -> str:
    """Accept the name of a variable; a key pasted in its place does not look like one."""
    given = text(value)
    if not _VARIABLE.fullmatch(given):
        raise ValueError("must be the name of a variable, such as SHOP_PRIVATE_KEY, not its value")
    return given


def secret(value: object) -> SecretStr:
    """Accept any secret that can go into an HTTP header."""
    given = text(value)
    if not PRINTABLE.fullmatch(given):
        raise ValueError("has spaces or characters that no such secret has: copy it again")
    return SecretStr(given)


def signing_secret(value: object) -> SecretStr:
    """Accept what signs Slack's requests; a token in its place would refuse every one of them."""
    given = secret(value)
    if given.get_secret_value().startswith(TOKENS):
        raise ValueError("is a token: the Signing Secret is in Slack under Basic Information")
    return given


def token(prefix: str, where: str) -> Callable[[object], SecretStr]:
    """Make a parser of Slack's tokens that begin with `prefix`; `where` tells where one is."""

    def parse(value: object) -> SecretStr:
        given = secret(value)
        if not given.get_secret_value().startswith(prefix):
            raise ValueError(f"must begin with {prefix}: it is {where}")
        return given

    return parse


def whole(least: int, most: int) -> Callable[[object], int]:
    """Make a parser of the whole numbers from `least` to `most`."""

    def parse(value: object) -> int:
        given = value
        if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
            given = int(value)
        if isinstance(given, int) and not isinstance(given, bool) and least <= given <= most:
            return given
        raise ValueError(f"must be a whole number from {least} to {most}")

    return parse


def seconds(value: object) -> timedelta:
    try:
        return timedelta(seconds=whole(1, MOST_SECONDS)(value))
    except ValueError:
        raise ValueError(
            f"must be a whole number of seconds, 1 or more (and at most {MOST_SECONDS})"
        ) from None


def flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    given = value.strip().lower() if isinstance(value, str) else ""
    if given not in YES | NO:
        raise ValueError("must be true or false")
    return given in YES


def people(value: object) -> People:
    """Read `U…` and `W…` as users, `S…` as user groups, and `*` as every full member."""
    given = items(value)
    known = [i for i in given if i == "*" or _USER.fullmatch(i) or _GROUP.fullmatch(i)]
    refuse_unknown(given, known, "use ids of users (U…), ids of user groups (S…) or *")
    if not known:
        raise ValueError("names nobody: use ids of users (U…), ids of user groups (S…) or *")
    return People(
        users=frozenset(i for i in known if _USER.fullmatch(i)),
        groups=frozenset(i for i in known if _GROUP.fullmatch(i)),
        everyone="*" in known,
    )


def channels(value: object) -> frozenset[str]:
    given = items(value)
    known = [i for i in given if _CHANNEL.fullmatch(i)]
    refuse_unknown(given, known, "use ids of channels (C…), at the end of a channel's details")
    return frozenset(known)


def channel(value: object) -> str | None:
    """Read one channel id; an empty text in the projects file means none."""
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, str) and _CHANNEL.fullmatch(value.strip()):
        return value.strip()
    raise ValueError("must be the id of a channel (C…), found at the end of the channel's details")


def items(value: object) -> list[str]:
    """Split a comma-separated text, or take a list of texts as it is."""
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise ValueError("must be a list of texts")
    return [item.strip() for item in given if item.strip()]


def refuse_unknown(given: list[str], known: list[str], fix: str) -> None:
    unknown = [
        f'"{item}"' if len(item) <= QUOTABLE else f"an item of {len(item)} characters"
        for item in given
        if item not in known
    ]
    if unknown:
        apart = ", with commas between them" if any(_TOGETHER.search(i) for i in given) else ""
        raise ValueError(f"has {', '.join(unknown)}: {fix}{apart}")


def atlas_id(value: object) -> str:
    given = text(value)
    if not _ATLAS_ID.fullmatch(given):
        raise ValueError(
            "must be 24 hexadecimal digits: Atlas shows the project's id in Project Settings"
        )
    return given.lower()


def project_name(value: object) -> str:
    """Accept what can be typed as one word of the command, and is not mistaken for an id."""
    given = text(value)
    if not _PROJECT_NAME.fullmatch(given) or _ATLAS_ID.fullmatch(given):
        raise ValueError(
            "must be one word of up to 64 characters, without spaces and slashes, that is not an id"
        )
    return given


def api_version(value: object) -> ApiVersion:
    try:
        return ApiVersion(text(value))
    except ValueError:
        raise ValueError(f"must be one of {', '.join(ApiVersion)}") from None


def traces_exporter(value: object) -> Literal["otlp", "console"] | None:
    """Accept where spans go, if the extra that sends them is installed."""
    given = text(value).lower()
    if given == "none":
        return None
    if given not in {"otlp", "console"}:
        raise ValueError("must be otlp, console or none")
    if not all(_is_installed(part) for part in OTEL):
        raise ValueError(
            "needs OpenTelemetry, which is not installed: "
            "install the bot with its extra otel, as in pip install '.[otel]'"
        )
    return "console" if given == "console" else "otlp"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it is a part of
        return False


def otlp_protocol(value: object) -> str:
    given = text(value).lower()
    if given != OTLP_PROTOCOL:
        raise ValueError(f"must be {OTLP_PROTOCOL}, the only one that the extra otel speaks")
    return given


def log_level(value: object) -> str:
    given = text(value).upper()
    if given not in LEVELS:
        raise ValueError(f"must be one of {', '.join(LEVELS)}")
    return given


def log_format(value: object) -> Literal["console", "json"]:
    match text(value).lower():
        case "console":
            return "console"
        case "json":
            return "json"
    raise ValueError("must be console or json")
