"""Read Atlas credentials: an API key or a service account, from the variables that hold them."""

from collections.abc import Callable, Mapping
from typing import Annotated, TypeAlias

from pydantic import ConfigDict, PlainValidator, SecretStr

from bot.atlas import Credentials, DigestKey, ServiceAccount
from bot.settings.parsers import Model, read, secret, setting

#: The credentials, by their parts: a name, and its secret.
KINDS: Mapping[tuple[str, str], Callable[[str, SecretStr], Credentials]] = {
    ("public_key", "private_key"): DigestKey,
    ("client_id", "client_secret"): ServiceAccount,
}

#: The beginnings of values that belong to another part, and the sentence about each.
OF_AN_ACCOUNT = (
    "mdb_sa_",
    "is of a service account: set MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET instead",
)
PRIVATE_KEY = (
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z",
    "is an API key's private part: give its public one",
)
ACCOUNT_SECRET = ("mdb_sa_sk_", "is a service account's secret: give its id, mdb_sa_id_…")
ACCOUNT_ID = ("mdb_sa_id_", "is a service account's id: give its secret, mdb_sa_sk_…")

PublicKey = Annotated[SecretStr | None, PlainValidator(secret(OF_AN_ACCOUNT, PRIVATE_KEY))]
PrivateKey = Annotated[SecretStr | None, PlainValidator(secret(OF_AN_ACCOUNT))]
ClientId = Annotated[SecretStr | None, PlainValidator(secret(ACCOUNT_SECRET))]
ClientSecret = Annotated[SecretStr | None, PlainValidator(secret(ACCOUNT_ID))]


class CredentialSettings(Model):
    model_config = ConfigDict(loc_by_alias=False)

    public_key: PublicKey = setting(
        "an API key, public part",
        alias="MONGODB_ATLAS_PUBLIC_API_KEY",
        shown="key or service account",
    )
    private_key: PrivateKey = setting(
        "its private part", alias="MONGODB_ATLAS_PRIVATE_API_KEY", shown="with the public part"
    )
    client_id: ClientId = setting(
        "a service account instead of a key",
        alias="MONGODB_ATLAS_CLIENT_ID",
        shown="key or service account",
    )
    client_secret: ClientSecret = setting(
        "its secret", alias="MONGODB_ATLAS_CLIENT_SECRET", shown="with the client id"
    )


#: The default variables, by part; Atlas's own tools use the same names.
DEFAULT_VARIABLES = {name: str(f.alias) for name, f in CredentialSettings.model_fields.items()}


Label: TypeAlias = Callable[[str], str]  #: returns the name of a part in sentences


def read_credentials(
    names: Mapping[str, str], label: Label, environ: Mapping[str, str], problems: list[str]
) -> Credentials | None:
    """Read the credentials from the variables `names`, by part; None without or with problems."""
    kinds = [parts for parts in KINDS if not names.keys().isdisjoint(parts)]
    given = [label(part) for parts in kinds for part in parts if part in names]
    if len(kinds) > 1:
        problems.append(
            f"{' and '.join(given)} are given together: keep the API key or the service account"
        )
    if len(kinds) != 1:
        return None
    (parts,) = kinds
    missing = [label(part) for part in parts if part not in names]
    own = [f"{each} is missing: it belongs to {given[0]}" for each in missing]
    own += [
        f"{label(part)} names {name}, which is not set: set it"
        for part, name in names.items()
        if name not in environ
    ]
    values = {part: environ[name] for part, name in names.items() if name in environ}
    settings = read(CredentialSettings, values, own, names.__getitem__)
    problems.extend(own)
    if own:
        return None
    name, its_secret = (getattr(settings, part) for part in parts)
    return KINDS[parts](name.get_secret_value(), its_secret)
