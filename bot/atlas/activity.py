"""The events of a project's activity feed: who asked for a restore, and when."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from bot.atlas.models import AtlasModel, ObjectId, one_line

#: The event of each restore of a dedicated cluster: a download, another restore, or an export.
RESTORE_REQUESTED = "CPS_RESTORE_REQUESTED_AUDIT"

#: The prefix of a service account's client id. The documentation does not say which field of an
#: event names a service account, so each field is tried.
CLIENT_ID_PREFIX = "mdb_sa_id_"
_MAX_ACTOR = 320  #: characters of the longest e-mail address


def _actor_text(value: object) -> str:
    """Return a text on one line; any other value counts as missing."""
    return one_line(value)[:_MAX_ACTOR] if isinstance(value, str) else ""


_ActorText = Annotated[str, BeforeValidator(_actor_text)]
_MappingOrNone = BeforeValidator(lambda value: value if isinstance(value, Mapping) else None)


class DelegatePrincipal(AtlasModel):
    """An OAuth application that acted for the user of the event."""

    id: _ActorText = ""
    name: _ActorText = ""
    on_behalf_of: _ActorText = ""


@validated(slots=True, config=AtlasModel.model_config)  # a model takes three times the memory
class ActivityEvent:
    """An event of the activity feed; missing and unreadable fields of the actor are empty."""

    id: ObjectId  #: 24 hex digits, lower case
    created: AwareDatetime  #: in whole seconds
    event_type_name: _ActorText
    #: Whether an employee of MongoDB acted.
    is_global_admin: Annotated[bool, BeforeValidator(lambda value: value is True)] = False
    username: _ActorText = ""
    user_id: _ActorText = ""
    public_key: _ActorText = ""
    api_key_id: _ActorText = ""
    client_id: _ActorText = ""  #: of the service account that acted
    delegate_principal: Annotated[DelegatePrincipal | None, _MappingOrNone] = None

    @property
    def for_user(self) -> str:
        """Return the user for whom an application acted; empty where the event names none."""
        application = self.delegate_principal
        return self.username or (application.on_behalf_of if application else "")


_to_event = TypeAdapter(ActivityEvent).validate_python


def parse_event(payload: object) -> ActivityEvent | None:
    """Return the event, or None if its id, time or type is missing."""
    if not isinstance(payload, Mapping):
        return None
    texts = (value for value in payload.values() if isinstance(value, str))
    client_id = next((text for text in texts if text.startswith(CLIENT_ID_PREFIX)), "")
    try:
        return _to_event({**payload, "clientId": client_id})
    except ValidationError:
        return None
