"""Opens a dialog in Slack, and updates it."""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import structlog
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.slack import errors
from bot.slack.blockkit import View, private
from bot.slack.dependencies import Dependencies, Interaction
from bot.slack.dialog import views
from bot.slack.plain_text import as_text

log = structlog.get_logger(__name__)

UPDATE_BACKOFF = (0.5, 2.0)  #: seconds before each retry of an update, which is idempotent
VIEW_REPLACED = "hash_conflict"  #: Slack's code where the view of the hash is not shown any more
#: Slack's codes for a trigger that was used: an earlier delivery of the payload opened the dialog.
TRIGGER_USED = frozenset({"exchanged_trigger_id", "trigger_exchanged"})


@dataclass(slots=True, weakref_slot=True, eq=False)
class Dialog:
    """One dialog on a person's screen, as far as one interaction updates it.

    Each update names the view that it replaces by `hash`: a view that was put there in the
    meantime stays. An open dialog is given with what the payload of the interaction has of its
    view. A later interaction with the same dialog ends the updates of an earlier one.
    """

    deps: Dependencies
    by: Interaction
    view_id: str = ""
    hash: str | None = None
    #: Whether the view on the screen is the last one of this interaction, as far as Slack said.
    is_own: bool = field(default=False, init=False)

    @classmethod
    def of(cls, deps: Dependencies, by: Interaction, view: Mapping[str, Any]) -> Self:
        """Begin an interaction with an open dialog, from its view in the payload."""
        dialog = cls(deps, by, str(view["id"]), view.get("hash"))
        deps.dialogs[dialog.view_id] = dialog
        return dialog

    async def open(self, view: View) -> bool:
        """Open the dialog; return whether it is open, and notify the person if it is not."""
        try:
            await self._open(view)
        except errors.SlackError as error:
            if error.code in TRIGGER_USED:
                log.info("dialog is open already", code=error.code)
            else:
                log.warning("dialog could not be opened", error=error.sentence)
                await self._reply(errors.sentence_for(error), view)
            return False
        log.info("dialog opened", view=self.view_id)
        return True

    async def _open(self, view: View) -> None:
        if not self.by.trigger_id:
            raise errors.DialogExpired  # Slack would report an invalid argument
        client, named = self.deps.client, view | {"external_id": secrets.token_hex()}
        try:
            opened = await client.views_open(trigger_id=self.by.trigger_id, view=named)
        except errors.SlackUnavailable as error:
            if isinstance(error, errors.RateLimited):
                raise
            opened = await self._find(named, error)
        self._keep(opened)
        self.deps.dialogs[self.view_id] = self

    async def _find(self, named: View, lost: errors.SlackError) -> AsyncSlackResponse:
        """Find by its external id a dialog that may be open; raise `lost` if it is not."""
        try:
            return await self.deps.client.views_update(external_id=named["external_id"], view=named)
        except errors.SlackError as error:
            raise lost from error

    def _keep(self, answer: AsyncSlackResponse) -> None:
        """Keep by which id and hash the next update names the view that Slack shows now."""
        shown = answer["view"]
        self.view_id, self.hash, self.is_own = shown["id"], shown.get("hash"), True

    async def show(self, view: View) -> bool:
        """Show a view, unless the dialog was closed; return whether it may be open."""
        if not self.view_id:
            return await self.open(view)
        try:
            await self._update(view)
        except errors.DialogExpired as error:
            log.info("dialog was closed or changed before", view=self.view_id, code=error.code)
        except errors.SlackUnavailable as error:
            await self._reply(errors.sentence_for(error), view)
        except errors.SlackError as error:
            log.error("dialog could not be updated", view=self.view_id, error=error.sentence)  # noqa: TRY400 - no bug
            await self._show_refused(view, error)
        return True

    async def _update(self, view: View) -> None:
        pauses, update = iter(UPDATE_BACKOFF), self.deps.client.views_update
        while self.deps.dialogs.get(self.view_id) is self:
            try:
                answer = await update(view_id=self.view_id, hash=self.hash, view=view)
            except errors.DialogExpired as error:
                if self.is_own or not self.hash or error.code != VIEW_REPLACED:
                    raise
                # By an earlier interaction, or by this update itself, whose answer was lost.
                self.hash = None
            except errors.SlackUnavailable as error:
                if (pause := next(pauses, None)) is None:
                    raise
                await self.deps.sleep(max(pause, error.seconds))
            else:
                self._keep(answer)
                return

    async def _show_refused(self, view: View, error: errors.SlackError) -> None:
        """Show what a refused view says: in a plain dialog and in a private message."""
        plain = views.plain(view, errors.sentence_for(error))
        if plain is None:
            return  # another update follows
        with suppress(errors.SlackError):
            await self._update(plain)
        await self._reply(as_text(plain["blocks"]), view)

    async def _reply(self, text: str, view: View) -> None:
        """Reply privately, with a button that opens the dialog again, where one can."""
        again = views.opener_of(view) or self.by.again
        await self.deps.replies.send(self.by, private(text, again))
