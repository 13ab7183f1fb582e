"""The control API under `/_sandbox/`: read calls, add faults, change jobs."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from bot.sandbox.atlas.activity import DANA, Actor
from bot.sandbox.atlas.clock import instant
from bot.sandbox.atlas.faults import PRESETS, SENTENCES, Fault
from bot.sandbox.atlas.guard import is_loopback

if TYPE_CHECKING:
    from bot.sandbox.atlas.call_recorder import Call
    from bot.sandbox.atlas.jobs import RestoreJob
    from bot.sandbox.atlas.server import FakeAtlasServer

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Change(BaseModel):
    """A change of a job."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["release", "use", "cancel", "expire", "fail", "finish"]


class NewJob(BaseModel):
    """A download job to start."""

    model_config = ConfigDict(extra="forbid")

    project: str
    cluster: str
    live: bool = False
    #: The keys of the actor in the activity feed; null for no event.
    actor: dict[str, object] | None = dict(DANA.fields)


class Preset(BaseModel):
    """A named set of faults."""

    model_config = ConfigDict(extra="forbid")

    preset: str


class Control:
    """The handlers of the control API."""

    def __init__(self, atlas: FakeAtlasServer) -> None:
        self.atlas = atlas

    def routes(self) -> list[web.RouteDef]:
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/_sandbox/", self.about),
            ("GET", "/_sandbox/world", self.world),
            ("GET", "/_sandbox/calls", self.calls),
            ("GET", "/_sandbox/faults", self.faults),
            ("POST", "/_sandbox/faults", self.add_faults),
            ("DELETE", "/_sandbox/faults", self.clear_faults),
            ("GET", "/_sandbox/behaviour", self.behaviour),
            ("PATCH", "/_sandbox/behaviour", self.change_behaviour),
            ("POST", "/_sandbox/jobs", self.add_job),
            ("POST", "/_sandbox/jobs/{job}", self.change_job),
        ]
        return [web.route(method, path, local_only(handler)) for method, path, handler in table]

    async def about(self, _request: web.Request) -> web.Response:
        return web.json_response(self.atlas.about())

    async def world(self, _request: web.Request) -> web.Response:
        world = self.atlas.world
        rows = [
            {"cluster": home.name, "project": home.group, **job_json(j)} for home, j in world.jobs()
        ]
        projects = [
            {"id": p.id, "name": p.name, "clusters": sorted(p.clusters)}
            for p in world.projects.values()
        ]
        return web.json_response({"projects": projects, "jobs": rows})

    async def calls(self, request: web.Request) -> web.Response:
        """Return the calls from number `since` on, and the next value of `since`."""
        text = request.query.get("since", "0")
        if not (text.isascii() and text.isdigit()):
            raise web.HTTPBadRequest(text="since is the number of calls that you have already")
        calls = self.atlas.calls
        shown = [call_json(call) for call in calls[int(text) :]]
        return web.json_response({"calls": shown, "next": len(calls)})

    async def faults(self, _request: web.Request) -> web.Response:
        waiting = [
            {**item.fault.model_dump(mode="json", exclude_unset=True), "left": item.left}
            for item in self.atlas.faults.active
        ]
        return web.json_response(
            {
                "active": waiting,
                "kinds": {kind.value: sentence for kind, sentence in SENTENCES.items()},
                "presets": {name: sentence for name, (sentence, _) in PRESETS.items()},
            }
        )

    async def add_faults(self, request: web.Request) -> web.Response:
        """Add a fault, or `{"preset": name}`."""
        data = await request.json()
        if isinstance(data, dict) and "preset" in data:
            name = Preset.model_validate(data).preset
            if name not in PRESETS:
                raise web.HTTPNotFound(text=f"presets are: {', '.join(PRESETS)}")
            self.atlas.faults.preset(name)
        else:
            self.atlas.faults.add(Fault.model_validate(data))
        return await self.faults(request)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self.atlas.faults.clear()
        return await self.faults(request)

    async def behaviour(self, _request: web.Request) -> web.Response:
        return web.json_response(self.atlas.behaviour.model_dump(mode="json"))

    async def change_behaviour(self, request: web.Request) -> web.Response:
        """Change some choices; an invalid value changes none."""
        now = self.atlas.behaviour
        wanted = type(now).model_validate({**now.model_dump(), **await request.json()})
        for name in wanted.model_dump():
            setattr(now, name, getattr(wanted, name))
        return await self.behaviour(request)

    async def add_job(self, request: web.Request) -> web.Response:
        new = NewJob.model_validate(await request.json())
        project = self.atlas.world.projects.get(new.project)
        cluster = project.clusters.get(new.cluster) if project else None
        if cluster is None:
            raise web.HTTPNotFound(text="there is no such cluster")
        actor = None if new.actor is None else Actor(new.actor)
        job = self.atlas.world.add_job(cluster, now=self.atlas.clock(), live=new.live, by=actor)
        return web.json_response(job_json(job), status=201)

    async def change_job(self, request: web.Request) -> web.Response:
        change = Change.model_validate(await request.json())
        try:
            job = self.atlas.world.job(request.match_info["job"])
        except KeyError as missing:
            raise web.HTTPNotFound(text="there is no such job") from missing
        if change.action == "use" and job.state != "live":
            raise web.HTTPConflict(text="the job has no link to use")
        match change.action:
            case "release":
                job.release(self.atlas.clock())
            case "use":
                job.use()
            case "finish":
                job.finish(self.atlas.clock())
            case "cancel":
                job.cancel()
            case "expire":
                job.expire()
            case "fail":
                job.fail()
        return web.json_response(job_json(job))


def local_only(handler: Handler) -> Handler:
    """Accept only loopback names; an invalid body becomes a 400."""

    async def inner(request: web.Request) -> web.Response:
        if not is_loopback(request.headers.get("Host", "")):
            raise web.HTTPForbidden(text="the control API answers on loopback names only")
        if request.method in ("POST", "PATCH") and request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="send application/json")
        try:
            return await handler(request)
        except ValidationError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        except (ValueError, TypeError) as error:
            raise web.HTTPBadRequest(text=f"the body cannot be read: {error}") from error

    return inner


def job_json(job: RestoreJob) -> dict[str, object]:
    """Return the public fields of a job, without its link."""
    return {
        "id": job.id,
        "type": job.delivery_type.value,
        "state": job.state,
        "created": instant(job.created_at),
    }


def call_json(call: Call) -> dict[str, Any]:
    return {**dataclasses.asdict(call), "at": call.at.isoformat()}
