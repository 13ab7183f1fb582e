"""Finds what opens Atlas: an API key pair or a service account, each by the names of variables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.atlas import DigestKey, ServiceAccount
from bot.settings import parsers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import SecretStr

    from bot.atlas import Credentials

KEY = ("public_key", "private_key")
ACCOUNT = ("client_id", "client_secret")

#: The names that Atlas's own tools use.
DEFAULT_VARIABLES = {
    "public_key": "MONGODB_ATLAS_PUBLIC_API_KEY",
    "private_key": "MONGODB_ATLAS_PRIVATE_API_KEY",
    "client_id": "MONGODB_ATLAS_CLIENT_ID",
    "client_secret": "MONGODB_ATLAS_CLIENT_SECRET",
}


#: How a part does not look, since it is another one, and what to say then.
_OF_AN_ACCOUNT = (
    re.compile(r"mdb_sa_"),
    "is of a service account: set MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET instead",
)
_PRIVATE = (
    re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"),
    "is an API key's private part: give its public one",
)
MISPLACED = {
    "public_key": (_OF_AN_ACCOUNT, _PRIVATE),
    "private_key": (_OF_AN_ACCOUNT,),
    "client_id": (
        (re.compile(r"mdb_sa_sk_"), "is a service account's secret: give its id, mdb_sa_id_…"),
    ),
    "client_secret": (
        (re.compile(r"mdb_sa_id_"), "is a service account's id: give its secret, mdb_sa_sk_…"),
    ),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which variables hold the parts of a credential, and how sentences call these parts.

    Attributes:
        variables: by part (`public_key`, …), the name of the variable.
        called: a part's name in a sentence.
    """

    variables: Mapping[str, str]
    called: Callable[[str], str]


def default_credentials(environ: Mapping[str, str], problems: list[str]) -> Credentials | None:
    """Read the credentials of every project that names no others; None where there are none."""
    given = {part: name for part, name in DEFAULT_VARIABLES.items() if name in environ}
    return find_credentials(Wanted(given, DEFAULT_VARIABLES.__getitem__), environ, problems)


def find_credentials(
    wanted: Wanted, environ: Mapping[str, str], problems: list[str]
) -> Credentials | None:
    """Read what `wanted` names; None where it names nothing, or where it adds to `problems`."""
    pair = _choose(wanted, problems)
    if pair is None:
        return None
    parts = [_part(part, wanted, environ, problems) for part in pair]
    if parts[0] is None or parts[1] is None:
        return None
    return _credentials(pair, parts[0], parts[1])


def _choose(wanted: Wanted, problems: list[str]) -> tuple[str, str] | None:
    """Decide between the two kinds; both at once, or half of one, is a mistake to be told."""
    touched = [pair for pair in (KEY, ACCOUNT) if wanted.variables.keys() & set(pair)]
    present = [wanted.called(part) for pair in touched for part in pair if part in wanted.variables]
    if len(touched) > 1:
        problems.append(
            f"{' and '.join(present)} are given together: keep the API key or the service account"
        )
        return None
    missing = [wanted.called(p) for pair in touched for p in pair if p not in wanted.variables]
    problems.extend(f"{name} is missing: it belongs to {present[0]}" for name in missing)
    return touched[0] if touched and not missing else None


def _part(
    part: str, wanted: Wanted, environ: Mapping[str, str], problems: list[str]
) -> SecretStr | None:
    variable = wanted.variables[part]
    if variable not in environ:
        problems.append(f"{wanted.called(part)} names {variable}, which is not set: set it")
        return None
    mistakes = [mistake for how, mistake in MISPLACED[part] if how.match(environ[variable])]
    if mistakes:
        problems.append(f"{variable} {mistakes[0]}")
        return None
    try:
        return parsers.secret(environ[variable])
    except ValueError as error:
        problems.append(f"{variable} {error}")
        return None


def _credentials(pair: tuple[str, str], name: SecretStr, secret: SecretStr) -> Credentials:
    if pair is KEY:
        return DigestKey(public_key=name.get_secret_value(), private_key=secret)
    return ServiceAccount(client_id=name.get_secret_value(), client_secret=secret)
