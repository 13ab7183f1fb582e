"""Events of a project's activity feed: who asked for a restore, and when."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from bot.atlas.models import AtlasModel, object_id, one_line

#: The event of each restore of a dedicated cluster: a download, another restore, or an export.
RESTORE_REQUESTED: Final = "CPS_RESTORE_REQUESTED_AUDIT"

#: The prefix of a service account's client id. The documentation does not say which field of an
#: event names a service account, so each field is tried.
CLIENT_ID_PREFIX: Final = "mdb_sa_id_"

_MAX_NAME = 320  #: characters of the longest e-mail address


def _text(value: object) -> str:
    """Return a text on one line; any other value counts as missing."""
    return one_line(value)[:_MAX_NAME] if isinstance(value, str) else ""


_Name = Annotated[str, BeforeValidator(_text)]
_Id = Annotated[str, AfterValidator(lambda text: object_id(text, "event id"))]
_MappingOrNone = BeforeValidator(lambda value: value if isinstance(value, Mapping) else None)


class DelegatePrincipal(AtlasModel):
    """An OAuth application that acted for the user of the event."""

    id: _Name = ""
    name: _Name = ""


class ActivityEvent(AtlasModel):
    """An event of the activity feed; missing and unreadable fields of the actor are empty."""

    id: _Id  #: 24 hex digits, lower case
    created: AwareDatetime  #: in whole seconds
    event_type_name: _Name
    #: Whether an employee of MongoDB acted.
    is_global_admin: Annotated[bool, BeforeValidator(lambda value: value is True)] = False
    username: _Name = ""
    user_id: _Name = ""
    public_key: _Name = ""
    api_key_id: _Name = ""
    client_id: _Name = ""  #: of the service account that acted
    delegate_principal: Annotated[DelegatePrincipal | None, _MappingOrNone] = None

    @model_validator(mode="before")
    @classmethod
    def _find_client_id(cls, data: Any) -> dict[str, Any]:  # noqa: ANN401 - untrusted JSON
        if not isinstance(data, Mapping):
            return {}
        texts = (value for value in data.values() if isinstance(value, str))
        found = next((text for text in texts if text.startswith(CLIENT_ID_PREFIX)), "")
        return {**data, "clientId": found}


def parse_event(payload: object) -> ActivityEvent | None:
    """Return the event, or None if its id, time or type is missing."""
    try:
        return ActivityEvent.model_validate(payload)
    except ValidationError:
        return None


class ActivityFeedLink(AtlasModel):
    """A link to the activity feed in Atlas's web interface, with the filters applied."""

    link: Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=2000)]
