"""The API's resources as frozen models; no field can hold a download link."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_CLUSTER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,63}")
_MAX_LENGTH = 64  #: characters of an id, a name or an enumeration value
_PLAIN = re.compile(rf"[\w .-]{{0,{_MAX_LENGTH}}}\Z")
_MAX_QUOTED = 40  #: characters of an invalid name in an error
LINK_LIFETIME = timedelta(hours=1)  #: how long a download link is valid; all recorded links were
#: Keys of a job that contain download links; each gives the backup, once.
_LINK_KEYS = ("deliveryUrl", "components", "privateDownloadDeliveryUrls")


class InvalidName(ValueError):
    """An invalid name or id; the text is a sentence for people."""


def is_object_id(text: str) -> bool:
    """Whether `text` has the form of an id: 24 hex digits, in either case."""
    return _OBJECT_ID.fullmatch(text) is not None


def is_cluster_name(text: str) -> bool:
    """Whether `text` has the form of a cluster name: letters, digits, hyphens; at most 64."""
    return _CLUSTER_NAME.fullmatch(text) is not None


def object_id(text: str, what: str) -> str:
    """Return the id in lower case; raises `InvalidName`, naming `what`."""
    if not is_object_id(text):
        raise InvalidName(
            f"{_quoted(text)} is not a {what}: that has 24 characters, each 0-9 or a-f, "
            "such as 5b622f7087d9d6039fafe03f."
        )
    return text.lower()


def created_at(id_: str) -> datetime:
    """Return the time in an id: Atlas creates it at the moment of the POST."""
    return datetime.fromtimestamp(int(id_[:8], 16), UTC)


def cluster_name(text: str) -> str:
    """Return the cluster name; raises `InvalidName`."""
    if not is_cluster_name(text):
        raise InvalidName(
            f"{_quoted(text)} is not a cluster name: that has letters, digits and hyphens only, "
            "begins with a letter or digit, and is at most 64 long, such as prod-eu."
        )
    return text


def one_line(text: str) -> str:
    """Return the text with single spaces, also for characters that cannot be printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _quoted(text: str) -> str:
    """Quote the text, shortened and on one line."""
    shown = one_line(text[:80])
    if not shown:
        return "An empty text"
    return f"“{shown[:_MAX_QUOTED]}…”" if len(text) > _MAX_QUOTED else f"“{shown}”"


@dataclass(frozen=True, slots=True)
class JobRef:
    """Identifies a restore job, with ids in lower case as in Atlas; raises `InvalidName`."""

    project_id: str
    cluster_name: str
    job_id: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "project_id", object_id(self.project_id, "project id"))
        object.__setattr__(self, "cluster_name", cluster_name(self.cluster_name))
        object.__setattr__(self, "job_id", object_id(self.job_id, "job id"))

    @property
    def started_at(self) -> datetime:
        """When the job was started: the time in its id."""
        return created_at(self.job_id)


class DeliveryType(StrEnum):
    """How a restore job delivers the snapshot; the values are Atlas's."""

    AUTOMATED = "automated"  #: into a cluster
    DOWNLOAD = "download"  #: as an archive behind a link; the only type that can be cancelled
    POINT_IN_TIME = "pointInTime"  #: into a cluster, as of a moment


def _aware(moment: datetime) -> datetime:
    """Return the time with a zone; raises `ValueError` if another zone could not represent it."""
    if moment.year in {MINYEAR, MAXYEAR}:
        raise ValueError("a date at the edge of the calendar")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _cluster_name_or_none(name: str | None) -> str | None:
    return name if name and is_cluster_name(name) else None


_Flag = Annotated[bool, BeforeValidator(lambda value: False if value is None else value)]
# A text with punctuation may be a link, of which nothing is kept.
_Name = Annotated[str, AfterValidator(lambda text: text if _PLAIN.match(text) else "unreadable")]
_Text = Annotated[_Name, BeforeValidator(lambda value: "" if value is None else value)]
_Moment = Annotated[datetime, AfterValidator(_aware)]
_MOMENT = TypeAdapter(_Moment)


def _moment_or_none(value: object) -> datetime | None:
    """Return a time; a job whose time cannot be read is still shown and can be cancelled."""
    try:
        return _MOMENT.validate_python(value) if value else None
    except ValidationError:
        return None


_MaybeMoment = Annotated[datetime | None, BeforeValidator(_moment_or_none)]
ObjectId = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{24}$"), AfterValidator(str.lower)]
# Left to right: a plain string would otherwise win over the enumeration.
_Word = Annotated[_Name, Field(max_length=_MAX_LENGTH)]
_Delivery = Annotated[DeliveryType | _Word, Field(union_mode="left_to_right")]


class AtlasModel(BaseModel):
    """Drops unknown keys; validation errors do not quote the input."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )


class RestoreJob(AtlasModel):
    """A cloud-backup restore job of a dedicated cluster."""

    id: ObjectId  #: 24 hex digits, lower case
    delivery_type: _Delivery  #: the text of a type that is not known here
    snapshot_id: _Text = ""  #: 24 hex digits, or empty
    snapshot_time: _MaybeMoment = Field(default=None, alias="timestamp")
    cancelled: _Flag = False
    expired: _Flag = False
    failed: _Flag = False
    finished_at: _MaybeMoment = None  #: of an automated job, not of a live download
    expires_at: _MaybeMoment = None  #: of a download: when its link expires; stays without link
    target_cluster_name: _Name | None = None  #: of an automated or point-in-time restore
    #: The cluster that the job's own links name; None where they name none.
    cluster_name: Annotated[str | None, AfterValidator(_cluster_name_or_none)] = None
    link_is_live: bool = False  #: whether there is a link; parsing drops the link itself

    @model_validator(mode="before")
    @classmethod
    def _without_links(cls, data: Any) -> dict[str, Any]:  # noqa: ANN401 - untrusted JSON
        """Replace the download links by whether there is one, before validation."""
        if not isinstance(data, Mapping):
            return {}
        kept = {key: value for key, value in data.items() if key not in _LINK_KEYS}
        if any(key in data for key in _LINK_KEYS):
            kept["link_is_live"] = any(_has_link(data.get(key)) for key in _LINK_KEYS)
        if _moment_or_none(expires := data.get("expiresAt")) is None and expires:
            kept["link_is_live"] = True  # its time cannot be read, so nothing shows that it is over
        if "links" in data:
            kept.pop("clusterName", None)
            kept["cluster_name"] = _linked_cluster(kept.pop("links"))
        return kept

    @property
    def link_expires_at(self) -> datetime | None:
        """When the download link expires or would have expired; None if there never was one.

        A link works once: afterwards only this time shows that it existed.
        """
        return self.expires_at if self.delivery_type == DeliveryType.DOWNLOAD else None

    @property
    def is_over(self) -> bool:
        """Whether Atlas shows an end; a download that has a live or used link is not over."""
        return self.cancelled or self.failed or self.expired or self.finished_at is not None

    @property
    def can_be_cancelled(self) -> bool:
        """Whether Atlas accepts a cancel: only for downloads that have not ended."""
        return self.delivery_type == DeliveryType.DOWNLOAD and not self.is_over


#: Keys of links inside the parts of a job.
_LINKS_IN_PARTS = ("downloadUrl", "deliveryUrl", "privateDownloadDeliveryUrls")


def _has_link(value: object, depth: int = 5) -> bool:
    """Whether the value contains a link: a string, a list of them, or parts.

    The deepest one is components[].privateDownloadDeliveryUrls[].deliveryUrl.
    """
    if isinstance(value, str) or depth == 0:
        return bool(value)
    if isinstance(value, list):
        return any(_has_link(item, depth - 1) for item in value)
    if isinstance(value, Mapping):
        return any(_has_link(value.get(key), depth - 1) for key in _LINKS_IN_PARTS)
    return False


#: The address of a cluster, or of a restore job of it.
_CLUSTER_ADDRESS = re.compile(
    r"/clusters/([^/?#]+)(/backup/restoreJobs/[0-9a-fA-F]{24})?/?(?:[?#].*)?\Z"
)


def _linked_cluster(links: object) -> str | None:
    """Return the cluster that the links of a job name: the one of `cluster`, else of `self`."""
    given = links if isinstance(links, list) else []
    addresses = {
        str(link.get("rel")).rpartition("/")[2]: str(link.get("href"))
        for link in given
        if isinstance(link, Mapping)
    }
    matches = (_CLUSTER_ADDRESS.search(addresses.get(rel, "")) for rel in ("cluster", "self"))
    return next((match[1] for match in matches if match and is_cluster_name(match[1])), None)


class Cluster(AtlasModel):
    """A cluster; its name is unique in the project."""

    name: Annotated[str, AfterValidator(cluster_name)]


class Project(AtlasModel):
    """A project, also called a group in the API; its name is unique in the organization."""

    id: ObjectId
    name: str


_M = TypeVar("_M")


class ReadItems(list[_M]):
    """The items of a list that could be read.

    Attributes:
        unread: the ids of the items that could not be read, or empty texts.
        read_at: when the read began, if the caller has a clock.
    """

    def __init__(
        self,
        items: Iterable[_M] = (),
        unread: Iterable[str] = (),
        read_at: datetime | None = None,
    ) -> None:
        super().__init__(items)
        self.unread, self.read_at = tuple(unread), read_at

    def unread_text(self, what: str) -> str:
        """Say how many items could not be read, as a clause or empty; `what` is the singular."""
        count = len(self.unread)
        return f"{count} {what}{'s' * (count > 1)} could not be read" if count else ""
