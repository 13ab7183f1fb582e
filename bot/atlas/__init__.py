'''A client for the MongoDB Atlas Administration API, usable without the bot.

    from pydantic import SecretStr
    from bot.atlas import AtlasClient, DigestKey, JobRef

    async def cancel(project: str, cluster: str, job: str, key: DigestKey) -> bool:
        """Cancel a download restore job; return whether Atlas shows it as cancelled."""
        async with AtlasClient(key) as atlas:
            ref = JobRef(project, cluster, job)
            if (await atlas.restore_job(ref)).can_be_cancelled:
                await atlas.cancel_restore_job(ref)
            return (await atlas.restore_job(ref)).cancelled

Each failed call raises an `AtlasError`, whose text is a sentence for people.
'''

from bot.atlas.activity import RESTORE_REQUESTED, ActivityEvent
from bot.atlas.client import AtlasClient
from bot.atlas.digest import DigestKey
from bot.atlas.errors import (
    AtlasError,
    AtlasRejected,
    AtlasUnavailable,
    ChallengeNotUnderstood,
    ClusterNotFound,
    ConnectionBroken,
    JobNotFound,
    KeyRefused,
    Maintenance,
    NoConnection,
    NotCancellable,
    NotOnAccessList,
    OtherRefusal,
    ProjectNotFound,
    RateLimited,
    RoleMissing,
    TimedOut,
    Unavailable,
    UnreadableAnswer,
    VersionGone,
    WrongClusterKind,
)
from bot.atlas.http import Credentials
from bot.atlas.models import (
    LINK_LIFETIME,
    CancelAccepted,
    Cluster,
    DeliveryType,
    InvalidName,
    JobRef,
    JobState,
    Project,
    ReadItems,
    RestoreJob,
    created_at,
    is_cluster_name,
    is_object_id,
)
from bot.atlas.oauth import ServiceAccount
from bot.atlas.protocol import ApiVersion
from bot.atlas.transport import CallRecord

__all__ = [
    "LINK_LIFETIME",
    "RESTORE_REQUESTED",
    "ActivityEvent",
    "ApiVersion",
    "AtlasClient",
    "AtlasError",
    "AtlasRejected",
    "AtlasUnavailable",
    "CallRecord",
    "CancelAccepted",
    "ChallengeNotUnderstood",
    "Cluster",
    "ClusterNotFound",
    "ConnectionBroken",
    "Credentials",
    "DeliveryType",
    "DigestKey",
    "InvalidName",
    "JobNotFound",
    "JobRef",
    "JobState",
    "KeyRefused",
    "Maintenance",
    "NoConnection",
    "NotCancellable",
    "NotOnAccessList",
    "OtherRefusal",
    "Project",
    "ProjectNotFound",
    "RateLimited",
    "ReadItems",
    "RestoreJob",
    "RoleMissing",
    "ServiceAccount",
    "TimedOut",
    "Unavailable",
    "UnreadableAnswer",
    "VersionGone",
    "WrongClusterKind",
    "created_at",
    "is_cluster_name",
    "is_object_id",
]
