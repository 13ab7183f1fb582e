"""The credentials for Atlas: an API key pair, or a service account."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import SecretStr

_VISIBLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class DigestKey:
    """An API key pair, used with HTTP Digest.

    Raises:
        ValueError: a part is empty, or has a character that keys of Atlas do not have.
    """

    public_key: str
    private_key: SecretStr

    def __post_init__(self) -> None:
        _check("public key", self.public_key)
        _check("private key", self.private_key.get_secret_value())


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account, used with OAuth 2 client credentials.

    Raises:
        ValueError: a part is empty, or has a character that service accounts do not have.
    """

    client_id: str
    client_secret: SecretStr

    def __post_init__(self) -> None:
        _check("client id", self.client_id)
        _check("client secret", self.client_secret.get_secret_value())


Credentials = DigestKey | ServiceAccount


def _check(what: str, value: str) -> None:
    """Reject a value that a header cannot hold; the error does not quote it."""
    if not _VISIBLE.fullmatch(value) or '"' in value:
        raise ValueError(
            f"the {what} must be of visible ASCII characters, without spaces and quotation marks"
        )
