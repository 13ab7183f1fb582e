"""The open modals: one per person."""

import copy
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.slack.block_kit.inputs import Values, initial_values
from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.id_generator import IdGenerator
from bot.sandbox.slack.workspace import User, Workspace

Json = dict[str, Any]


@dataclass(kw_only=True)
class View:
    """A view on a person's screen, with the values they filled in."""

    id: str
    user: User
    content: Json
    hash: str
    values: Values = field(default_factory=dict)
    is_sent: bool = False  #: a submission waits for its answer, so that there is no button


class Views:
    """The open views of all people."""

    def __init__(self, workspace: Workspace, ids: IdGenerator) -> None:
        self._workspace = workspace
        self._ids = ids
        self._modals: dict[str, View] = {}

    def modal(self, user: str) -> View | None:
        """The person's open modal."""
        return self._modals.get(user)

    def find(self, view_id: str) -> View:
        """An open view.

        Raises:
            ApiError: not_found (never opened, or closed since).
        """
        for view in self._modals.values():
            if view.id == view_id:
                return view
        raise ApiError("not_found")

    def open(self, user: User, content: Json) -> View:
        """Open a modal in place of any open one."""
        view = self._new(user, content)
        self._modals[user.id] = view
        return view

    def update(self, view: View, content: Json) -> None:
        """Replace the content; values under the same block and action ids are kept."""
        view.content = _completed(content)
        view.values = initial_values(view.content["blocks"], kept=view.values)
        view.hash = self._ids.hash()

    def close(self, user: str) -> None:
        """Remove the person's modal."""
        self._modals.pop(user, None)

    def as_json(self, view: View) -> Json:
        """Return the view as responses and payloads contain it; its blocks must not be changed."""
        app = self._workspace.app
        return {
            "id": view.id,
            "team_id": view.user.team_id,
            **view.content,
            "state": {"values": copy.deepcopy(view.values)},
            "hash": view.hash,
            "previous_view_id": None,
            "root_view_id": view.id,
            "app_id": app.id,
            "app_installed_team_id": self._workspace.team.id,
            "bot_id": app.bot_id,
        }

    def _new(self, user: User, content: Json) -> View:
        completed = _completed(content)
        return View(
            id=self._ids.id("V"),
            user=user,
            content=completed,
            hash=self._ids.hash(),
            values=initial_values(completed["blocks"]),
        )


def _completed(content: Json) -> Json:
    """Return the content with the fields that Slack adds."""
    empty = {"private_metadata": "", "callback_id": "", "external_id": ""}
    buttons = {"submit": None, "close": None}
    return {**empty, **buttons, **content, "blocks": with_ids(content["blocks"])}


def with_ids(blocks: list[Json]) -> list[Json]:
    """Return a copy in which every block and interactive element has an id."""
    copied: list[Json] = copy.deepcopy(blocks)
    for block in copied:
        block.setdefault("block_id", IdGenerator.block_id())
        accessory = [block["accessory"]] if "accessory" in block else []
        element = [block["element"]] if block["type"] == "input" else []
        elements = block["elements"] if block["type"] == "actions" else []
        for part in (*accessory, *element, *elements):
            part.setdefault("action_id", IdGenerator.block_id())
    return copied
