"""Errors of a request, as a tree; each leaf has the sentence that people see.

CancellationError
├── NotAllowed          the policy refuses the act; `people` may do it
├── NothingChanged      the request or the download changed before
├── StorageError        the database failed
└── CannotCancel, WrongCluster, ReasonMissing, TooEarly, UnknownProject, RequestNotFound,
    RightsNotChecked
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from bot.cancellation.people import NO_ONE, People

if TYPE_CHECKING:  # an error carries the request that it is about
    from bot.cancellation.download import LetRun
    from bot.cancellation.request import Request


class CancellationError(Exception):
    """The act had no effect."""

    sentence: ClassVar[str]  #: for people; `{name}` stands for an attribute

    def __str__(self) -> str:
        return self.sentence.format(**vars(self))


@dataclass(eq=False, repr=False)
class NotAllowed(CancellationError):
    """The policy does not allow this; `people` may do it."""

    people: People = NO_ONE


class ReadOnly(NotAllowed):
    sentence = "This bot only watches here. Cancel it in Atlas: Backup page of the cluster."


class MayNotAsk(NotAllowed):
    sentence = "You may not ask to cancel a download here."


class MayNotApprove(NotAllowed):
    sentence = "You may not approve this."


class MayNotLetRun(NotAllowed):
    sentence = "You may not let this download run."


class MayNotActAlone(NotAllowed):
    sentence = "You may not cancel without approval. Clear the checkbox to ask for approval."


class NotAtTheCommandLine(NotAllowed):
    sentence = "Only a person in Slack can decide this."


class OwnRequest(NotAllowed):
    sentence = "Your own approval does not count."


class MayBeStarter(NotAllowed):
    sentence = "You may have started this download yourself, so another person has to let it run."


class AlreadyApproved(NotAllowed):
    sentence = "You have approved this already. It needs another person too."


@dataclass(eq=False, repr=False)
class NothingChanged(CancellationError):
    """The click came too late; `request` is as it is now, or None where there is none."""

    sentence = "Your click changed nothing."

    request: "Request | None" = None
    let_run: "LetRun | None" = None  #: the decision that was made before, without a request


class DownloadEnded(NothingChanged):
    sentence = "The download has ended. Your click changed nothing."


class CannotCancel(CancellationError):
    sentence = "Atlas can cancel only a download that has not ended, so nothing was done."


@dataclass(eq=False, repr=False)
class WrongCluster(CancellationError):
    sentence = "This download belongs to the cluster {cluster}, not to {typed}. Type the command with {cluster}."  # noqa: E501 - shown as it stands

    cluster: str
    typed: str


class ReasonMissing(CancellationError):
    sentence = "A reason is needed. Say in a few words why."


@dataclass(eq=False, repr=False)
class TooEarly(CancellationError):
    """Renderers show `counts_from` as a time."""

    sentence = (
        "Atlas has not yet shown everybody who may have started it. "
        "Your click counts from {counts_from} on."
    )

    counts_from: datetime


class UnknownProject(CancellationError):
    sentence = "The settings do not name this project. Ask an admin of the bot to add it."


class RequestNotFound(CancellationError):
    sentence = "This request is not in the bot's database. Type the command to see the downloads."


@dataclass(eq=False, repr=False)
class RightsNotChecked(CancellationError):
    sentence = (
        "{why} The bot could not check your rights, so nothing was done. Click again in a moment."
    )

    why: str


class StorageError(CancellationError):
    """The database failed."""


class NotRecorded(StorageError):
    sentence = "Your click was not saved, and nothing was done. Try again in a moment."


class NotActive(NotRecorded):
    """This process does not hold the lease any more."""


class Conflict(NotRecorded):
    """A unique index refused the row."""


class NotRead(NotRecorded):
    sentence = "The bot cannot read its database now, so nothing was done. Try again in a moment."


class MaybeRecorded(StorageError):
    sentence = "It is not certain that your click was saved. Look at the message in a minute, and click again if it has not changed. Clicking twice is safe."  # noqa: E501 - shown as it stands
