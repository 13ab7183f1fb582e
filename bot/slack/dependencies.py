"""The collaborators that the listeners of all features share, and their private replies."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import structlog
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.atlas import JobRef
from bot.cancellation import policy as rules
from bot.cancellation.errors import (
    CancellationError,
    NotAllowed,
    RightsNotChecked,
    StateConflict,
    UnknownProject,
)
from bot.cancellation.job import Job
from bot.cancellation.people import ActingPerson, People, Person
from bot.cancellation.policy import Policy
from bot.services.job_search import JobFinder
from bot.services.projects import Project
from bot.services.service import CancellationService
from bot.slack import errors
from bot.slack.blockkit import Again, private
from bot.slack.channels import Channels, may_use
from bot.slack.client import Identity, Links
from bot.slack.directory import Directory
from bot.slack.payloads import Actor, actor_of, part_of
from bot.slack.plain_text import send_simplified, simplify
from bot.storage.history import History
from bot.tasks import BackgroundTasks, run_until_deadline
from bot.timings import Timings

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: In the body of a refusal with status 200: Slack's, or a page of a proxy.
NOT_OK = re.compile(r'"ok"\s*:\s*false|^\s*<')
#: The domains of Slack, and of its service for governments.
SLACK_DOMAINS = (".slack.com", ".slack-gov.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """What a person did, and how to answer; a response_url takes 5 messages in 30 minutes."""

    actor: Actor
    channel_id: str | None = None
    response_url: str | None = None
    trigger_id: str = ""  #: opens one dialog; empty where the payload has none
    again: Again | None = None  #: the button that repeats it, where one can

    @property
    def channel(self) -> str:
        """The channel of the payload, or the user's id where it has none."""
        return self.channel_id or self.actor.id


def interaction_of(body: Mapping[str, Any], identity: Identity) -> Interaction:
    return Interaction(
        actor=actor_of(body, identity),
        channel_id=channel_of(body),
        response_url=body.get("response_url"),
        trigger_id=str(body.get("trigger_id") or ""),
        again=errors.button_of(body),
    )


def channel_of(body: Mapping[str, Any]) -> str | None:
    places = (body.get("channel_id"), part_of(body, "channel").get("id"))
    return next(filter(None, places), part_of(body, "container").get("channel_id"))


@dataclass(frozen=True, slots=True)
class PrivateReply:
    """Replies privately: by response_url, else as ephemeral message, else as direct message."""

    client: AsyncWebClient
    limits: errors.CallLimits = field(default_factory=errors.CallLimits)

    async def send_text(self, to: Interaction, text: str) -> None:
        """Send one user a sentence, which must be safe mrkdwn."""
        await self.send(to, private(text))

    async def send(self, to: Interaction, message: dict[str, Any]) -> None:
        """Send one user a message: `text`, `blocks`, and `response_type` for the response_url."""
        url = to.response_url
        if url and self._may_call(url) and await self._respond(url, message):
            return
        post = self.client.chat_postEphemeral
        user = to.actor.id
        if to.channel_id and await self._post(post, message, channel=to.channel_id, user=user):
            return
        await self._post(self.client.chat_postMessage, message, channel=user)

    def _may_call(self, url: str) -> bool:
        """Whether `url` belongs to Slack, or to the host of SLACK_API_URL."""
        called, api = urlsplit(url), urlsplit(self.client.base_url)
        host = called.hostname or ""
        if host == api.hostname and called.scheme in {"https", api.scheme}:
            return True
        if called.scheme == "https" and f".{host}".endswith(SLACK_DOMAINS):
            return True
        log.warning("response_url is not called: its host is not Slack's", host=host)
        return False

    async def _respond(self, url: str, message: dict[str, Any]) -> bool:
        webhook = AsyncWebhookClient(
            url, session=self.client.session, timeout=int(Timings.slack_timeout), retry_handlers=[]
        )
        content: Mapping[str, Any] | None = message
        while content:
            try:
                answer = await webhook.send_dict({**content, "replace_original": False})
            except errors.CALL_ERRORS as error:
                log.warning("response_url failed", error=errors.translate_error(error).sentence)
                return False
            # A refusal is only a status or a body; the SDK raises no exception for it.
            if answer.status_code == HTTPStatus.OK and not NOT_OK.search(answer.body):
                return True
            log.warning("response_url refused", status=answer.status_code)
            is_content = answer.status_code in {HTTPStatus.OK, HTTPStatus.BAD_REQUEST}
            content = simplify(content, "") if is_content else None
        return False

    async def _post(
        self,
        call: Callable[..., Awaitable[AsyncSlackResponse]],
        message: Mapping[str, Any],
        **to: Any,  # noqa: ANN401 - arguments of the method
    ) -> bool:
        content = {name: message[name] for name in ("text", "blocks")}
        try:
            await send_simplified(lambda parts: self.limits.call(call, **to, **parts), content)
        except errors.SlackError as error:
            log.warning("private reply refused", error=error.sentence)
            return False
        return True


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """The collaborators of the listeners.

    `background` runs the work that continues after an ack, `sleep` waits between retries, and
    `dialogs` holds the latest interaction with each dialog, by view id, while it runs.
    """

    client: AsyncWebClient
    links: Links
    service: CancellationService
    finder: JobFinder
    history: History
    directory: Directory
    background: BackgroundTasks
    limits: errors.CallLimits = field(default_factory=errors.CallLimits)
    ack_timeout: float = Timings.ack_timeout
    reason_check_timeout: float = Timings.reason_check_timeout
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    dialogs: MutableMapping[str, object] = field(default_factory=WeakValueDictionary)

    @property
    def identity(self) -> Identity:
        return self.links.identity

    @cached_property
    def channels(self) -> Channels:
        return Channels(self.client, self.identity, limits=self.limits)

    @cached_property
    def replies(self) -> PrivateReply:
        return PrivateReply(self.client, self.limits)

    def interaction(self, body: Mapping[str, Any]) -> Interaction:
        return interaction_of(body, self.identity)

    async def allowed_projects(
        self,
        actor: Actor,
        channel: str,
        projects: Iterable[Project] | None = None,
        *,
        is_click: bool = False,
    ) -> list[Project]:
        """Return the projects, with the clusters, in which a person may ask in this channel.

        Raises `UnknownProject` without projects, and the refusal of the first one if the person
        may use none of them.
        """
        found = [*(self.service.projects.all if projects is None else projects)]
        policies = dict.fromkeys(policy for each in found for policy in each.policies.all)
        checks = (self.refusal(actor, channel, each, is_click=is_click) for each in policies)
        refusals = dict(zip(policies, await asyncio.gather(*checks), strict=True))
        allowed = []
        for project in found:
            own = {policy: refusals[policy] for policy in project.policies.all}
            refused = {policy: refusal for policy, refusal in own.items() if refusal}
            if len(refused) < len(own):
                allowed.append(replace(project, refusals=refused))
        if not allowed:
            raise next(filter(None, refusals.values()), UnknownProject())
        return allowed

    async def refusal(
        self, actor: Actor, channel: str, policy: Policy, *, is_click: bool = False
    ) -> NotAllowed | None:
        """Return why the person may not ask in this channel; others read nothing about channels."""
        person = await self.directory.person(actor, policy.requesters)
        return rules.may_request(policy, person) or may_use(policy, channel, is_click=is_click)

    async def acting(
        self,
        read: Callable[[Actor, People], Awaitable[ActingPerson]],
        actor: Actor,
        people: People,
        refusal_of: Callable[[Person], NotAllowed | None],
    ) -> ActingPerson:
        """Return who acts, as `read` of the directory says; raises why they may not.

        Who may not by the answers of the last minute is read again a few times a minute in all.
        """
        refusal = refusal_of(await self.directory.person(actor, people))
        if refusal and not await self.limits.may_read_again(len(people.groups)):
            raise refusal
        person = await read(actor, people)
        if refusal := refusal_of(person):
            raise refusal
        return person

    async def visible_projects(self, actor: Actor) -> list[Project]:
        """Return the projects in which this person may request or approve, in any channel.

        A project for which Slack did not answer is left out.
        """
        projects = self.service.projects.all
        seen = await asyncio.gather(*(self._may_see(actor, each) for each in projects))
        return [project for project, visible in zip(projects, seen, strict=True) if visible]

    async def _may_see(self, actor: Actor, project: Project) -> bool:
        for policy in project.policies.all:
            for people in (policy.requesters, policy.approvers):
                with suppress(RightsNotChecked):
                    if await self.directory.person(actor, people) in people:
                        return True
        return False

    async def before_ack(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work before the ack; after the timeout it continues in the background."""
        return await run_until_deadline(self._with_job(work), self.background, self.ack_timeout)

    async def _with_job(self, work: Coroutine[Any, Any, T]) -> T:
        """Add to the refusal of work for another request how long is left for its download."""
        try:
            return await work
        except StateConflict as error:
            error.job = await self.job_of(error.request.ref)
            raise

    async def job_of(self, ref: JobRef) -> Job | None:
        """Return a job as it is recorded, or follows from its id; None while the database fails."""
        store = self.service.jobs.store
        with suppress(CancellationError):
            return (await store.get([ref]))[ref].at(store.now())
        return None

    def start(self, work: Coroutine[Any, Any, None], name: str, by: Interaction) -> None:
        """Run work in the background; an unexpected error is reported privately."""

        def report(reference: str) -> Coroutine[Any, Any, None]:
            text = errors.internal_error_text(reference)
            return self.replies.send(by, private(text, by.again))

        self.background.start(work, name, report)

    async def refuse(self, by: Interaction, error: Exception, hint: str = "") -> None:
        """Say privately why something was not done, with a hint (mrkdwn), and log it."""
        log.info("refused", actor=by.actor.id, why=type(error).__name__)
        if isinstance(error, StateConflict) and error.job is None:
            error.job = await self.job_of(error.request.ref)
        await self.replies.send(by, errors.private_refusal(error, by.again, self.links, hint))

    def reply(self, body: Mapping[str, Any], text: str) -> None:
        """Send the user of a payload a private sentence (safe mrkdwn), in the background."""
        self.background.start(self.replies.send_text(self.interaction(body), text), "private reply")
