"""The control API under `/_sandbox/`: read the wire, add faults, change a job, from outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from bot.sandbox.atlas.clock import instant
from bot.sandbox.atlas.faults import PRESETS, SENTENCES, Fault
from bot.sandbox.atlas.guard import is_loopback

if TYPE_CHECKING:
    from bot.sandbox.atlas.jobs import RestoreJob
    from bot.sandbox.atlas.server import FakeAtlasServer
    from bot.sandbox.atlas.wire import Call

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Change(BaseModel):
    """What is to happen to a job."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["release", "cancel", "expire", "fail", "finish"]


class NewJob(BaseModel):
    """A download job to start, as somebody in Atlas would."""

    model_config = ConfigDict(extra="forbid")

    project: str
    cluster: str
    live: bool = False


class Preset(BaseModel):
    """A named set of faults."""

    model_config = ConfigDict(extra="forbid")

    preset: str


class Control:
    """The handlers, each a few lines over the stand-in's own attributes."""

    def __init__(self, standin: FakeAtlasServer) -> None:
        self.standin = standin

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
        return [web.route(method, path, guarded(handler)) for method, path, handler in table]

    async def about(self, _request: web.Request) -> web.Response:
        return web.json_response(self.standin.about())

    async def world(self, _request: web.Request) -> web.Response:
        world = self.standin.world
        rows = [
            {"cluster": home.name, "project": home.group, **told(j)} for home, j in world.jobs()
        ]
        projects = [
            {"id": p.id, "name": p.name, "clusters": sorted(p.clusters)}
            for p in world.projects.values()
        ]
        return web.json_response({"projects": projects, "jobs": rows})

    async def calls(self, request: web.Request) -> web.Response:
        """The calls from number `since` on, and the number to ask for next."""
        text = request.query.get("since", "0")
        if not (text.isascii() and text.isdigit()):
            raise web.HTTPBadRequest(text="since is the number of calls that you have already")
        calls = self.standin.calls
        shown = [written(call) for call in calls[int(text) :]]
        return web.json_response({"calls": shown, "next": len(calls)})

    async def faults(self, _request: web.Request) -> web.Response:
        waiting = [
            {**item.fault.model_dump(mode="json", exclude_unset=True), "left": item.left}
            for item in self.standin.faults.active
        ]
        return web.json_response(
            {
                "active": waiting,
                "kinds": {kind.value: sentence for kind, sentence in SENTENCES.items()},
                "presets": {name: sentence for name, (sentence, _) in PRESETS.items()},
            }
        )

    async def add_faults(self, request: web.Request) -> web.Response:
        """Take a fault, or `{"preset": name}`."""
        data = await request.json()
        if isinstance(data, dict) and "preset" in data:
            name = Preset.model_validate(data).preset
            if name not in PRESETS:
                raise web.HTTPNotFound(text=f"presets are: {', '.join(PRESETS)}")
            self.standin.faults.preset(name)
        else:
            self.standin.faults.add(Fault.model_validate(data))
        return await self.faults(request)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self.standin.faults.clear()
        return await self.faults(request)

    async def behaviour(self, _request: web.Request) -> web.Response:
        return web.json_response(self.standin.behaviour.model_dump(mode="json"))

    async def change_behaviour(self, request: web.Request) -> web.Response:
        """Change some choices; either all of them or, when one is wrong, none."""
        now = self.standin.behaviour
        wanted = type(now).model_validate({**now.model_dump(), **await request.json()})
        for name in wanted.model_dump():
            setattr(now, name, getattr(wanted, name))
        return await self.behaviour(request)

    async def add_job(self, request: web.Request) -> web.Response:
        new = NewJob.model_validate(await request.json())
        project = self.standin.world.projects.get(new.project)
        cluster = project.clusters.get(new.cluster) if project else None
        if cluster is None:
            raise web.HTTPNotFound(text="there is no such cluster")
        job = self.standin.world.add_job(cluster, now=self.standin.clock(), live=new.live)
        return web.json_response(told(job), status=201)

    async def change_job(self, request: web.Request) -> web.Response:
        change = Change.model_validate(await request.json())
        try:
            job = self.standin.world.job(request.match_info["job"])
        except KeyError as missing:
            raise web.HTTPNotFound(text="there is no such job") from missing
        match change.action:
            case "release":
                job.release(self.standin.clock())
            case "finish":
                job.finish(self.standin.clock())
            case "cancel":
                job.cancel()
            case "expire":
                job.expire()
            case "fail":
                job.fail()
        return web.json_response(told(job))


def guarded(handler: Handler) -> Handler:
    """Let only this machine's own names in, and turn what cannot be read into 400s."""

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


def told(job: RestoreJob) -> dict[str, object]:
    """Return what a control page may know of a job: never its link."""
    return {
        "id": job.id,
        "type": job.delivery_type.value,
        "state": job.state,
        "created": instant(job.created_at),
    }


def written(call: Call) -> dict[str, Any]:
    return {**dataclasses.asdict(call), "at": call.at.isoformat()}
