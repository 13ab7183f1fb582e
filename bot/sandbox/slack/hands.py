"""Finds what a person reaches for: the message or view as it stands, and the element in it."""

from typing import Any

from bot.sandbox.slack.blocks import elements_of
from bot.sandbox.slack.errors import ApiError, CannotDo
from bot.sandbox.slack.sights import Sights
from bot.sandbox.slack.views import View
from bot.sandbox.slack.workspace import User

Json = dict[str, Any]


def find_element(
    thing: Json, action_id: str, *, value: str | None = None, block: str | None = None
) -> tuple[Json, Json]:
    """The one element with this action, and its block.

    Raises:
        CannotDo: there is none, or several that `value` and `block` do not tell apart.
    """
    found = [
        (holder, element)
        for holder, element in elements_of(thing.get("blocks") or [])
        if element.get("action_id") == action_id
        and value in (None, element.get("value"))
        and block in (None, holder["block_id"])
    ]
    if not found:
        raise CannotDo(f"There is no {action_id} here.")
    if len(found) > 1:
        raise CannotDo(f"There are {len(found)} {action_id} here; say which, by value or block.")
    return found[0]


class Hands(Sights):
    """What a person can reach right now."""

    def _as_it_stands(self, person: User, thing: Json) -> Json:
        """The live state of what the person saw.

        Raises:
            CannotDo: it is gone, or this person does not see it.
        """
        if "root_view_id" in thing:
            return self.world.views.as_json(self._view(person, thing))
        message = self.world.messages.find(thing["channel"], thing["ts"])
        if message is None:
            raise CannotDo("The message is gone.")
        channel = self.workspace.channel(message.channel)
        if message.only_for not in (None, person.id) or not self._sees(person, channel):
            raise CannotDo(f"{person.name} does not see this message.")
        return message.snapshot()

    def _as_it_was(self, person: User, thing: Json) -> Json:
        """What a client that missed later edits still shows, wherever the person is let in.

        Raises:
            CannotDo: this person never saw it.
        """
        if "root_view_id" in thing:
            self._view(person, thing)
        elif thing.get("only_for") not in (None, person.id) or not self._sees(
            person, self.workspace.channel(thing["channel"])
        ):
            raise CannotDo(f"{person.name} does not see this message.")
        return thing

    def _view(self, person: User, thing: Json | None) -> View:
        """An open view of the person; the visible one when none is given."""
        stack = self.world.views.stack(person.id)
        if thing is None and stack:
            return stack[-1]
        try:
            view = self.world.views.find(view_id=(thing or {}).get("id", "none"))
        except ApiError:
            raise CannotDo(f"{person.name} has no such view open.") from None
        if view.user is not person:
            raise CannotDo(f"That view is on the screen of {view.user.name}.")
        if view.content["type"] == "modal" and view is not stack[-1]:
            raise CannotDo("Another dialog lies over this one.")
        return view

    def _offered(self, thing: Json, block: Json, element: Json) -> list[Json]:
        """The options last suggested to an external select, in a view."""
        if "root_view_id" not in thing:
            return []
        view = self.world.views.find(view_id=thing["id"])
        return view.offered.get((block["block_id"], element["action_id"]), [])

    def _keep(self, thing: Json, block: Json, element: Json, state: Json) -> None:
        """Leaves a value in an open view, where the next submit finds it."""
        if "root_view_id" in thing:
            view = self.world.views.find(view_id=thing["id"])
            view.values.setdefault(block["block_id"], {})[element["action_id"]] = state
