"""A client for the MongoDB Atlas Administration API.

Each failed call raises an `AtlasError`, whose text is a sentence for people. A process has one
`AtlasHttp` for each credentials, one `CallLimiter`, and one `AtlasGateway` for each project.
"""

from bot.atlas.activity import ActivityEvent as ActivityEvent
from bot.atlas.canceller import AtlasCanceller as AtlasCanceller
from bot.atlas.errors import AtlasError as AtlasError
from bot.atlas.errors import ClusterNotFound as ClusterNotFound
from bot.atlas.errors import JobNotFound as JobNotFound
from bot.atlas.errors import KeyRefused as KeyRefused
from bot.atlas.errors import NotCancellable as NotCancellable
from bot.atlas.errors import NotOnAccessList as NotOnAccessList
from bot.atlas.errors import ProjectNotFound as ProjectNotFound
from bot.atlas.errors import RoleMissing as RoleMissing
from bot.atlas.errors import WrongClusterKind as WrongClusterKind
from bot.atlas.gateway import AtlasGateway as AtlasGateway
from bot.atlas.gateway import NotLocated as NotLocated
from bot.atlas.http import AtlasHttp as AtlasHttp
from bot.atlas.limiter import CallLimiter as CallLimiter
from bot.atlas.limiter import Priority as Priority
from bot.atlas.logins import Credentials as Credentials
from bot.atlas.logins import DigestKey as DigestKey
from bot.atlas.logins import ServiceAccount as ServiceAccount
from bot.atlas.models import LINK_LIFETIME as LINK_LIFETIME
from bot.atlas.models import Cluster as Cluster
from bot.atlas.models import DeliveryType as DeliveryType
from bot.atlas.models import InvalidName as InvalidName
from bot.atlas.models import JobRef as JobRef
from bot.atlas.models import ReadItems as ReadItems
from bot.atlas.models import RestoreJob as RestoreJob
from bot.atlas.models import created_at as created_at
from bot.atlas.models import is_cluster_name as is_cluster_name
from bot.atlas.models import is_object_id as is_object_id
from bot.atlas.protocol import ApiVersion as ApiVersion
from bot.atlas.reader import AtlasReader as AtlasReader
from bot.atlas.reader import open_reader as open_reader
from bot.atlas.roles import CANCEL_ROLES as CANCEL_ROLES
from bot.atlas.transport import CallRecord as CallRecord
