"""The bot of an older commit, and what it expects of Slack beyond what this bot uses."""

import io
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bot.sandbox.slack.block_kit import view_rules
from bot.sandbox.slack.people import submissions
from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.views import View
from bot.sandbox.slack.web_api.arguments import Args
from bot.sandbox.slack.web_api.auth import Caller
from bot.sandbox.slack.web_api.methods import METHODS, Method, content, views
from bot.sandbox.slack.world import World
from tests.support.git import git

Json = dict[str, Any]


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Yield a temporary folder with the tree of a commit, whose bot the fake Slack understands."""
    archive = git("archive", commit)
    with tempfile.TemporaryDirectory(prefix="cancel-restore-old-") as folder, ExitStack() as stack:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        update = Method(run=_update, required=("view",))
        stack.enter_context(patch.dict(METHODS, {"views.update": update}))
        stack.enter_context(patch.object(submissions, "_apply", _apply))
        # Other blocks and fields: nothing is checked, of this bot neither.
        stack.enter_context(patch.object(view_rules, "_problems", lambda _view: ()))
        stack.enter_context(patch.object(content, "problems", lambda *_: ()))
        yield Path(folder)


def _update(world: World, args: Args, caller: Caller) -> Json:
    """Update a view by its `external_id` too."""
    named = {
        view["external_id"]: view["id"]
        for user in world.workspace.users
        if (modal := world.views.modal(user)) and (view := world.views.as_json(modal))
    }
    found = {"view_id": named.get(args.text("external_id"), "")}
    return views.update(world, Args(found | args.values), caller)


_apply_known = submissions._apply


def _apply(world: World, view: View, ack: Ack, body: Json) -> Ack:
    """Close the view for `clear` too."""
    if body.get("response_action") != "clear":
        return _apply_known(world, view, ack, body)
    submissions.close_view(world, view)
    return ack
