"""Builds the Web API clients, and reads the identity of the bot."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.atlas import JobRef
from bot.cancellation.lifecycle import Card, Request
from bot.slack.errors import CALL_ERRORS, SlackUnavailable, translate_error
from bot.timings import Timings

#: Connections of a session; further calls wait for a free one. aiohttp uses connections in turn,
#: so those opened during a burst stay open while the bot is busy.
MAX_CONNECTIONS = 32


def new_session(timeout: float = Timings.slack_timeout) -> ClientSession:
    """Open a session that clients share, with seconds for one call; the caller closes it."""
    return ClientSession(
        connector=TCPConnector(limit=MAX_CONNECTIONS),
        # A client with a given session does not apply its own timeout.
        timeout=ClientTimeout(total=timeout),
    )


class SlackClient(AsyncWebClient):
    """Slack's client: it reports each call, takes only JSON for an answer, and raises `SlackError`.

    It has no retry handlers of the SDK's. Those repeat a call after a lost connection, also
    `chat.postMessage`, which would post twice. The outbox decides which calls are repeated. With
    `token` None, calls bring their own. `on_answer` gets the error code of each answer to the bot
    token, or None for one without an error.
    """

    def __init__(
        self,
        token: str | None,
        base_url: str,
        session: ClientSession | None,
        on_answer: Callable[[str | None], None] = lambda _code: None,
    ) -> None:
        super().__init__(
            token=token,
            base_url=base_url,
            timeout=int(Timings.slack_timeout),
            session=session,
            retry_handlers=[],
        )
        self._on_answer = on_answer

    async def api_call(self, api_method: str, **kwargs: Any) -> AsyncSlackResponse:  # noqa: ANN401 - as the SDK has it
        if api_method == "blocks.validate":
            # The SDK puts a dialog into the URL, which has too little room for it.
            kwargs["data"] = kwargs.pop("params")
        try:
            answer = await super().api_call(api_method, **kwargs)
        except CALL_ERRORS as error:
            meaning = translate_error(error)
            if isinstance(error, SlackApiError):
                self._report(api_method, meaning.code)
            raise meaning from error
        except AttributeError as error:
            # The SDK keeps text/plain as a string and then reads "ok" from it; all else is a bug.
            if not isinstance(error.obj, str):
                raise
            raise SlackUnavailable from error
        self._report(api_method, None)
        return answer

    def _report(self, api_method: str, code: str | None) -> None:
        if api_method != "apps.connections.open":  # which the app token calls
            self._on_answer(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The bot's own ids."""

    team: str  # the workspace in which the bot is installed (`T…`)
    user: str  # the bot's user id
    bot: str | None = None  # the bot's id (`B…`)
    enterprise: str | None = None  # the workspace's organization (`E…`), on Enterprise Grid only
    url: str = ""  # the workspace's address, the base of links to messages
    scopes: frozenset[str] = frozenset()  # of the bot token; empty where Slack does not name them

    @classmethod
    def of(cls, answer: AsyncSlackResponse) -> "Identity":
        """Read the answer of `auth.test` and its header `x-oauth-scopes`."""
        return cls(
            team=str(answer["team_id"]),
            user=str(answer["user_id"]),
            bot=answer.get("bot_id"),
            enterprise=answer.get("enterprise_id"),
            url=str(answer.get("url") or ""),
            scopes=frozenset(
                str(answer.headers.get("x-oauth-scopes", "")).replace(",", " ").split()
            ),
        )

    @property
    def posts_anywhere(self) -> bool:
        """Whether the bot may post also in public channels that it has not joined."""
        return "chat:write.public" in self.scopes

    @property
    def homes(self) -> frozenset[str]:
        """The ids by which payloads name the bot's workspace or organization."""
        return frozenset(each for each in (self.team, self.enterprise) if each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Builds links to Atlas's web interface, whose base URL is `atlas`, and to Slack's messages."""

    atlas: str
    identity: Identity

    def cluster_page(self, ref: JobRef) -> str:
        """Return the URL of the cluster's page in Atlas, which lists its restore jobs."""
        return self.page_of(ref.project_id, ref.cluster_name)

    def page_of(self, project_id: str, cluster: str) -> str:
        base = self.atlas.rstrip("/")
        return f"{base}/v2/{quote(project_id)}#/clusters/detail/{quote(cluster)}"

    def card_of(self, request: Request) -> str | None:
        """Return the URL of a request's card, or None until it is posted."""
        return self.message(request.card) if request.card else None

    def message(self, card: Card) -> str | None:
        """Return the URL of a message, as Slack's "Copy link" builds it."""
        url = self.identity.url.rstrip("/")
        return f"{url}/archives/{card.channel}/p{card.ts.replace('.', '')}" if url else None
