"""The rows of new posts; which updates a changed request needs for its card and its copies."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.posts import PostKind, message_id
from bot.storage.queries import outbox as outbox_queries

NO_DELAY = timedelta()

#: Delay of an update of copies while the request is open: a quick run needs only the last one.
COPY_DELAY = timedelta(seconds=2)

#: The priorities of posts that are sent before and after others, which have 0.
FIRST = -1
LAST = 1


class CardUpdate(NamedTuple):
    """A request whose card and copies are to show its current row."""

    request: Request
    event: EventName
    number: int
    now: datetime
    delay: timedelta = NO_DELAY


def new_post(
    request: Request,
    kind: PostKind,
    name: EventName,
    number: int,
    now: datetime,
    *,
    delay: timedelta = NO_DELAY,
    recipient: str | None = None,
    edits: int | None = None,
) -> dict[str, Any]:
    """Return the row of a new post; `edits` is the copy that it updates."""
    parts = (kind, name, recipient, edits)
    return {
        "request": request.id,
        "kind": kind,
        "event": name,
        "actor": None,
        "recipient": recipient,
        "edits": edits,
        "at": now,
        "detail": "{}",
        "state": "due",
        "due_at": now + delay,
        "priority": priority_of(kind, request, recipient),
        "client_msg_id": message_id(request.id, ":".join(str(p) for p in parts if p), number),
    }


def priority_of(kind: PostKind, request: Request, recipient: str | None = None) -> int:
    """Return the priority of a post: the lowest is sent first.

    Steps, outcomes and what is in quarantine precede the cards of other requests; direct messages
    follow.
    """
    if recipient:
        return 0 if request.state.ended else LAST
    is_urgent = request.state.ended or request.state is State.QUARANTINED
    return FIRST if kind is PostKind.REPLY or is_urgent else 0


def needed_updates(execute: Callable[..., Any], update: CardUpdate) -> Iterator[dict[str, Any]]:
    """Yield the rows of the updates that no pending post makes unnecessary.

    A pending post that will show the current row is made due as early as the update would be.
    """
    request = update.request
    posts = execute(outbox_queries.SHOWING_POSTS, {"of": request.id}).all()
    pending: dict[int | None, list[Any]] = {}
    for post in posts:
        if post.kind == PostKind.COPY:
            shows = post.state == "due" and not post.attempts
            pending.setdefault(post.id, []).extend([post] if shows else [])
        else:
            pending.setdefault(post.edits, []).append(post)
    recipients = {post.id: post.recipient for post in posts if post.kind == PostKind.COPY}
    places: list[int | None] = [None] if request.channel else []
    for edits in [*places, *recipients]:
        row = _edit(update, edits, recipients.get(edits) if edits else None)
        if found := pending.get(edits):
            _hasten(execute, row, [post for post in found if post.kind != PostKind.COPY])
        else:
            yield row


def _edit(update: CardUpdate, edits: int | None, recipient: str | None) -> dict[str, Any]:
    request, event, number, now, delay = update
    if recipient and not request.state.ended:
        delay = max(delay, COPY_DELAY)
    kind = PostKind.EDIT
    return new_post(
        request, kind, event, number, now, delay=delay, recipient=recipient, edits=edits
    )


def _hasten(execute: Callable[..., Any], row: dict[str, Any], pending: list[Any]) -> None:
    due_at, priority = row["due_at"], row["priority"]
    late = [post.id for post in pending if post.due_at > due_at or post.priority > priority]
    if late:
        execute(outbox_queries.hasten_posts(late, due_at, priority))
