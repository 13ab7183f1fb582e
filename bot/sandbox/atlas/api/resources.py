"""The responses of each resource, after all checks passed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from bot.sandbox.atlas.activity import EventFilter
from bot.sandbox.atlas.api.pages import check_query, page
from bot.sandbox.atlas.api.render import Renderer
from bot.sandbox.atlas.api.response import ApiResponse
from bot.sandbox.atlas.errors import AtlasError
from bot.sandbox.atlas.jobs import DeliveryType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bot.sandbox.atlas.activity import Event
    from bot.sandbox.atlas.api.request import ApiRequest
    from bot.sandbox.atlas.auth.credentials import Credential
    from bot.sandbox.atlas.behaviour import Behaviour
    from bot.sandbox.atlas.jobs import RestoreJob
    from bot.sandbox.atlas.world import Cluster, Project, World

CLUSTER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]*")
JOB_ID = re.compile(r"[a-f0-9]{24}")


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """A request that passed the checks: caller, values of the path, version."""

    request: ApiRequest
    values: Mapping[str, str]
    version: str
    media: str
    world: World
    behaviour: Behaviour
    who: Credential

    @property
    def renderer(self) -> Renderer:
        return Renderer(self.request.root, self.request.api)

    @property
    def project(self) -> Project:
        return self.world.projects[self.values["group"]]

    def one(self, document: Mapping[str, object]) -> ApiResponse:
        return ApiResponse(status=HTTPStatus.OK, document=document, media=self.media)

    def many(self, items: list[dict[str, object]]) -> ApiResponse:
        document = page(items, self.request.query, f"{self.request.base}{self.request.path}")
        return ApiResponse(status=HTTPStatus.OK, document=document, media=self.media, listing=True)

    def cluster(self) -> Cluster:
        """Return the dedicated cluster that the path names."""
        name = self.values["cluster"]
        if not CLUSTER_NAME.fullmatch(name):
            raise AtlasError("INVALID_PATH_PARAMETER", {"parameter": "clusterName"})
        cluster = self.project.clusters.get(name)
        if cluster is None:
            raise AtlasError("CLUSTER_NOT_FOUND", self.values)
        if cluster.flex:
            raise AtlasError("CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API", self.values)
        return cluster

    def job(self, cluster: Cluster) -> RestoreJob:
        """Return the job that the path names."""
        if not JOB_ID.fullmatch(self.values["job"]):
            raise AtlasError("INVALID_JOB_ID", self.values)
        job = cluster.jobs.get(self.values["job"])
        if job is None:
            raise AtlasError("RESTORE_JOB_NOT_FOUND", self.values)
        return job


def response(name: str, context: RequestContext) -> ApiResponse:
    """Return the response for the resource `name`; raise AtlasError for an invalid request."""
    check_query(context.request.query)
    if context.request.method == "DELETE":
        return cancel(context)
    return READERS[name](context)


def root(context: RequestContext) -> ApiResponse:
    """Return the service's status, with the API key that asks; null for a service account."""
    document: dict[str, object] = {"appName": "MongoDB Atlas", "build": "sandbox", "apiKey": None}
    who = context.who
    if who.identifier in context.world.keys:
        document["apiKey"] = {
            "id": "65f0a1c2d3e4f5a6b7c8d9e1",
            "publicKey": who.identifier,
            "roles": [
                {"groupId": group, "roleName": role.value}
                for group, roles in who.roles.items()
                for role in sorted(roles)
            ],
            "accessList": [{"cidrBlock": network} for network in who.access_list or ()],
        }
    return context.one(document)


def project(context: RequestContext) -> ApiResponse:
    return context.one(context.renderer.project(context.project))


def clusters(context: RequestContext) -> ApiResponse:
    shown = [cluster for cluster in context.project.clusters.values() if not cluster.flex]
    return context.many([context.renderer.cluster(cluster) for cluster in shown])


def jobs(context: RequestContext) -> ApiResponse:
    home = context.cluster()
    seen = [context.world.view(job) for job in home.newest_first()]
    return context.many([context.renderer.job(job, home) for job in seen])


def job(context: RequestContext) -> ApiResponse:
    home = context.cluster()
    return context.one(context.renderer.job(context.world.view(context.job(home)), home))


def cancel(context: RequestContext) -> ApiResponse:
    """Cancel a restore job: 204 without a body, or an error."""
    job = context.job(context.cluster())
    refusal = why_not(job)
    if refusal:
        raise AtlasError(refusal, context.values)
    if not job.over:
        job.cancel()
        context.world.cancellations.append(job.id)
    return ApiResponse(status=HTTPStatus.NO_CONTENT, media=context.media)


def why_not(job: RestoreJob) -> str:
    """Return the error code when the job cannot be cancelled, else an empty string.

    A DELETE of a job that was cancelled before is accepted again.
    """
    if job.shard_of is not None:
        return "ATLAS_BACKUP_CANCEL_SHARD_RESTORE_JOB_NOT_ALLOWED"
    if job.delivery_type is not DeliveryType.DOWNLOAD:
        return "CANNOT_CANCEL_AUTOMATED_RESTORE"
    return "VALIDATION_ERROR" if job.over and not job.cancelled else ""


def events(context: RequestContext) -> ApiResponse:
    request = context.request
    found = [event.document(request.root) for event in _selected_events(context)]
    url = f"{request.base}{request.path}"
    document = page(found, request.query, url, neighbours=False)
    return ApiResponse(status=HTTPStatus.OK, document=document, media=context.media, listing=True)


def _selected_events(context: RequestContext) -> list[Event]:
    request, behaviour = context.request, context.behaviour
    wanted = EventFilter.of(request.values_of("eventType"), request.query)
    mine = [event for event in context.world.events if event.group == context.project.id]
    return wanted.select(mine, request.at, behaviour.event_delay)


def service_account(context: RequestContext) -> ApiResponse:
    """Return a service account; a secret is masked except for its end."""
    account = _account(context)
    secret = {
        "id": "65f0a1c2d3e4f5a6b7c8d9e0",
        "createdAt": "2024-01-01T00:00:00Z",
        "expiresAt": account.expires_at,
        "maskedSecretValue": f"mdb_sa_sk_***{account.secret[-4:]}",
    }
    roles = sorted(role.value for role in account.roles_in(context.project.id))
    document = {"clientId": account.identifier, "name": "bot", "roles": roles}
    return context.one({**document, "secrets": [secret]})


def _account(context: RequestContext) -> Credential:
    account = context.world.service_accounts.get(context.values["client"])
    if account is None:
        raise AtlasError("RESOURCE_NOT_FOUND", {"path": context.request.path})
    return account


READERS: Mapping[str, Callable[[RequestContext], ApiResponse]] = {
    "root": root,
    "project": project,
    "clusters": clusters,
    "jobs": jobs,
    "job": job,
    "events": events,
    "service_account": service_account,
}
