"""What the listeners share: the services, the directory, and private answers."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import structlog
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.atlas import AtlasError, JobRef
from bot.cancellation.download import Download
from bot.cancellation.errors import CancellationError, MaybeRecorded, NotActive
from bot.cancellation.people import NO_ONE, ActingPerson, People
from bot.services.lookup import Lookup
from bot.services.projects import Project, Projects
from bot.services.requests import RequestService
from bot.slack import private
from bot.slack.client import Identity
from bot.slack.directory import Directory
from bot.slack.errors import SlackError
from bot.slack.links import Links
from bot.storage.download_store import DownloadStore
from bot.tasks import BackgroundTasks

#: Seconds in which a listener answers: Slack shows an error after three.
ACK_TIMEOUT = 2.5
LOOKUP_TIMEOUT = 13.0  #: seconds for a dialog: it shows the job or one sentence within 15
PERMALINK_TIMEOUT = 3.0
FAILED = (
    "Something went wrong in the bot, and it is not certain what was done. "
    "Look at the message, and try again."
)
SLOW_ATLAS = "Atlas did not answer in time. Click or type the same again."
#: What a listener answers with a sentence; any other error is a bug.
EXPECTED = (CancellationError, AtlasError, SlackError)

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackContext:
    """Everything a listener needs."""

    client: AsyncWebClient
    identity: Identity
    directory: Directory
    projects: Projects
    requests: RequestService
    lookup: Lookup
    links: Links
    now: Callable[[], datetime]
    is_active: Callable[[], bool]
    background: BackgroundTasks = field(default_factory=BackgroundTasks)

    async def acting(self, body: Mapping[str, Any], people: People) -> ActingPerson:
        """Return who sent a payload, as judged by a policy with these people."""
        return await self.directory.acting(body, people)

    async def usable_projects(self, body: Mapping[str, Any]) -> tuple[ActingPerson, list[Project]]:
        """Return who sent a payload, and the projects in which this person may ask."""
        everybody = NO_ONE
        for project in self.projects:
            everybody |= project.policies.default.may_ask
        person = await self.acting(body, everybody)
        usable = [item for item in self.projects if person in item.policies.default.may_ask]
        return person, usable

    @property
    def downloads(self) -> DownloadStore:
        """The store, which the look-ups of `serve` always have."""
        if self.lookup.downloads is None:
            raise AssertionError("listeners need a database")
        return self.lookup.downloads

    def start(self, work: Coroutine[Any, Any, None], name: str, body: Mapping[str, Any]) -> None:
        """Do work after the acknowledgement; a failure is told to the person who waits."""

        async def tell(_reference: str) -> None:
            await self.tell(body, FAILED)

        self.background.start(work, name, on_failure=tell)

    def check_active(self) -> None:
        """Raise `NotActive` while another process may be the active one."""
        if not self.is_active():
            raise NotActive

    async def within_ack(self, body: Mapping[str, Any], work: Coroutine[Any, Any, T]) -> T:
        """Return the result of checks and a write; raise `MaybeRecorded` if Slack waits too long.

        Work that is late goes on, since it may be committing; a refusal that it ends with is told.
        """
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task}, timeout=ACK_TIMEOUT)
        if done:
            return task.result()
        self.background.start(self._finish(body, task), "late click")
        raise MaybeRecorded

    async def _finish(self, body: Mapping[str, Any], task: "asyncio.Future[Any]") -> None:
        try:
            await task
        except EXPECTED as error:
            await self.tell_error(body, error)

    async def tell(self, body: Mapping[str, Any], answer: str | Mapping[str, Any]) -> None:
        """Answer privately: by the payload's response URL, an ephemeral or a direct message."""
        built = {"text": answer} if isinstance(answer, str) else dict(answer)
        url = body.get("response_url")
        if url and await self._respond(str(url), built):
            return
        user, channel = user_of(body), channel_of(body)
        try:
            if channel and await self._post_ephemeral(channel, user, built):
                return
            await self.client.chat_postMessage(channel=user, **built)
        except SlackError as error:
            log.warning("private answer not delivered", user=user, why=str(error))

    async def _post_ephemeral(self, channel: str, user: str, built: dict[str, Any]) -> bool:
        """Answer where the person typed or clicked; False where the bot or the person is not in."""
        try:
            await self.client.chat_postEphemeral(channel=channel, user=user, **built)
        except SlackError as error:
            log.info("ephemeral message not posted", channel=channel, why=str(error))
            return False
        return True

    async def _respond(self, url: str, built: dict[str, Any]) -> bool:
        try:
            client = AsyncWebhookClient(url, session=self.client.session)
            answer = await client.send(
                text=built["text"],
                blocks=built.get("blocks"),
                response_type="ephemeral",
                replace_original=False,
            )
        except Exception as error:  # noqa: BLE001 - the SDK raises many kinds; the next way is tried
            log.info("response URL not answered", why=type(error).__name__)
            return False
        return answer.status_code < 300  # noqa: PLR2004 - HTTP's range

    async def tell_error(self, body: Mapping[str, Any], error: Exception) -> None:
        """Answer privately why an act had no effect."""
        log.info("refused", why=str(error), user=user_of(body))
        await self.tell(body, private.sentence(error))

    async def message_link(self, download: Download) -> str | None:
        """Return the link of a download's message, or None until it is posted."""
        if not (download.channel and download.ts):
            return None
        try:
            async with asyncio.timeout(PERMALINK_TIMEOUT):
                answer = await self.client.chat_getPermalink(
                    channel=download.channel, message_ts=download.ts
                )
        except (SlackError, TimeoutError):
            return None
        return str(answer.get("permalink") or "") or None

    def policy_people(self, ref: JobRef) -> People:
        """Return all people that the policy of a job names; raises `UnknownProject`."""
        return self.projects.policy(ref).may_ask


def user_of(body: Mapping[str, Any]) -> str:
    """Return the id of the person who sent a payload."""
    return str((body.get("user") or {}).get("id") or body.get("user_id") or "")


def channel_of(body: Mapping[str, Any]) -> str:
    """Return the id of the channel of a payload; empty for the submit of a dialog."""
    return str((body.get("channel") or {}).get("id") or body.get("channel_id") or "")
