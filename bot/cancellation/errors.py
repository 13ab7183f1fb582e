"""Errors of a request, as a tree; each leaf has the sentence that people see.

CancellationError
├── NotAllowed          the policy refuses it
├── StateConflict       the request changed before
├── StorageError        the database failed
└── UnknownProject, RateLimitReserved, RequestNotFound, RightsNotChecked, NotAsked, AlreadyAnswered,
    StarterUncertain, QuestionOver
"""

from dataclasses import dataclass
from typing import ClassVar

from bot.cancellation.job import Job
from bot.cancellation.lifecycle import Request
from bot.cancellation.people import People


class CancellationError(Exception):
    """The request could not be handled."""

    is_temporary = False  #: whether Slack did not say who may do this, but may say it in a moment
    retry_after = 0.0  #: seconds that Slack asked to wait

    sentence: ClassVar[str]  #: for people; `{name}` stands for an attribute

    def __str__(self) -> str:
        return self.sentence.format(**vars(self))


@dataclass(eq=False, repr=False)
class NotAllowed(CancellationError):
    """The policy does not allow this; the message can name whom to `ask`, who may do it."""

    ask: People | None = None


class ReadOnly(NotAllowed):
    sentence = "The bot only watches this project and cancels nothing: cancel the download in Atlas, on the cluster's Backup page."  # noqa: E501 - shown as it stands


class KeyMayNotCancel(NotAllowed):
    sentence = "The bot's key has no role that may cancel, so the bot only watches: cancel the download in Atlas, on the cluster's Backup page, and ask an admin of the bot to give the key that role."  # noqa: E501 - shown as it stands


class NotARequester(NotAllowed):
    sentence = "You may not ask for a download to be cancelled."


class NotAnApprover(NotAllowed):
    sentence = "You may not approve or deny this request."


class MayNotCancelNow(NotAllowed):
    sentence = "You may not cancel this download, which is in quarantine."


class MayNotKeep(NotAllowed):
    sentence = "You may not keep this download."


class MayNotActAlone(NotAllowed):
    sentence = (
        "You may not cancel without approval: clear the checkbox to ask other people to approve."
    )


class NotAReviewer(NotAllowed):
    sentence = "Only a person who may approve can review what was done without approval."


class OwnAct(NotAllowed):
    sentence = "You acted alone here, so another person must review it."


class NothingToReview(NotAllowed):
    sentence = "This request did not run without approval, so there is nothing to review."


class OwnRequest(NotAllowed):
    sentence = "This is your own request, so another person must decide on it; you can withdraw it."


class OwnDownload(NotAllowed):
    sentence = "Atlas's activity feed says that you started this download, or may have, so another approver must keep it."  # noqa: E501 - shown as it stands


@dataclass(eq=False, repr=False, kw_only=True)
class NotTheRequester(NotAllowed):
    sentence = "Only the person who asked can withdraw this request."

    requester: str


class AlreadyApproved(NotAllowed):
    sentence = "You have approved this request already; it needs another person too."


@dataclass(eq=False, repr=False, kw_only=True)
class ChannelNotAllowed(NotAllowed):
    sentence = "The command does not work in this channel."

    channels: frozenset[str]


class ReasonMissing(NotAllowed):
    sentence = "A reason is needed: say in a few words why the download is to be cancelled."


class DenialReasonMissing(NotAllowed):
    sentence = "A reason is needed: say in a few words why the download is not to be cancelled."


class KeepReasonMissing(NotAllowed):
    sentence = "A reason is needed: say in a few words why the download may go on."


@dataclass(eq=False, repr=False, kw_only=True)
class NameNotTyped(NotAllowed):
    sentence = "Type the name of the cluster, {cluster_name}, in upper or lower case."

    cluster_name: str


@dataclass(eq=False, repr=False, kw_only=True)
class TooFewApprovers(NotAllowed):
    sentence = "This needs approvals of other people, {needed} in all, but only {able} could give one, so it could never be approved. Ask an admin of the bot to name more approvers."  # noqa: E501 - shown as it stands

    needed: int
    able: int


class NotCancellableNow(NotAllowed):
    sentence = "This download cannot be cancelled any more, so nothing was done."


class RequesterLostRight(NotAllowed):
    sentence = "The person who asked may not ask for this any more, so it cannot be carried out."


@dataclass(eq=False, repr=False)
class StateConflict(CancellationError):
    """The request changed before; `request` is as it is now, and says who decided."""

    request: Request
    job: Job | None = None  #: its download, with the clock of the link; None before it is read


class JobAlreadyRequested(StateConflict):
    sentence = "There is an open request for this download already."


class AlreadyHandled(StateConflict):
    sentence = "This request has been handled already."


@dataclass(eq=False, repr=False, kw_only=True)
class DisownedBefore(AlreadyHandled):
    sentence = "{asked}, whose account started this download, answered “It was not me”: it is too late to keep it."  # noqa: E501 - shown as it stands

    asked: str  #: the Slack user who answered


class AlreadyReviewed(StateConflict):
    sentence = "This was reviewed already."


class RequestExpired(StateConflict):
    sentence = "This request ended without enough approvals: the bot does not cancel the download."


class RequestNotFound(CancellationError):
    sentence = "There is no request with this id: compare it with the one on the card."


class UnknownProject(CancellationError):
    sentence = "The bot has no key for this project. Ask an admin of the bot to add it."


class RateLimitReserved(CancellationError):
    sentence = "Atlas limits how often it may be asked, and what is left is kept for cancelling: try again in a minute, or name the cluster and the job id."  # noqa: E501 - shown as it stands


@dataclass(eq=False, repr=False)
class RightsNotChecked(CancellationError):
    sentence = "{why} The bot could not check who may do this, so nothing was done."

    why: str
    retry_after: float = 0.0
    code: str = ""  #: Slack's error code
    is_temporary: bool = False


class StarterNotChecked(RightsNotChecked):
    sentence = (
        "{why} The bot could not check whether you started this download, so nothing was done."
    )


class NotAsked(CancellationError):
    sentence = "Only the person whom the bot asked can answer this, as a full member of this workspace. To cancel the download, use the button on its announcement."  # noqa: E501 - shown as it stands


@dataclass(eq=False, repr=False, kw_only=True)
class AlreadyAnswered(CancellationError):
    sentence = "You answered already that it {said} you: the first answer counts. If that is wrong, tell the people who may cancel the download."  # noqa: E501 - shown as it stands

    said: str  #: "was" or "was not"


class StarterUncertain(CancellationError):
    sentence = "Atlas's activity feed now shows that another person may have started this download: no answer is needed. If another person may be using your Atlas account, tell the people who may cancel the download."  # noqa: E501 - shown as it stands


class QuestionOver(CancellationError):
    sentence = "The download has ended, so that no answer is recorded any more. If it was not you, tell your security team: another person may be using your Atlas account."  # noqa: E501 - shown as it stands


class StorageError(CancellationError):
    """The database failed."""


class NotRecorded(StorageError):
    sentence = (
        "The request could not be recorded, and nothing was done. Please try again in a moment."
    )


class StoppedWaiting(NotRecorded):
    sentence = "The bot stopped before Slack said who may do this, so your decision was not recorded and nothing was done. Please try again in a moment."  # noqa: E501 - shown as it stands


class Conflict(NotRecorded):
    """A unique index refused the row; the caller reads again."""


class NotRead(NotRecorded):
    sentence = "The bot cannot read its database at the moment, so nothing was recorded and nothing was done. Please try again in a moment."  # noqa: E501 - shown as it stands


class MaybeRecorded(StorageError):
    sentence = "The database, or Slack about your rights, did not answer in time, so it is not certain that this was recorded. If it was, the card in the channel will show it; if not, try again: the same click never counts twice."  # noqa: E501 - shown as it stands


@dataclass(eq=False, repr=False)
class DatabaseUnreadable(StorageError):
    sentence = "The database cannot be read ({why}): check DATABASE_URL."

    why: str
