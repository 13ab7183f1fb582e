"""The private sentences to the person who clicked or typed (pure)."""

from datetime import datetime

from bot.atlas import AtlasError, InvalidName
from bot.cancellation import errors
from bot.cancellation.errors import CancellationError, NothingChanged
from bot.cancellation.people import People
from bot.cancellation.request import Request, State
from bot.cancellation.text import EVERY_MEMBER, Moment
from bot.slack import mrkdwn
from bot.slack.errors import SlackError

CHANGED_NOTHING = "Your click changed nothing"
MAX_SENTENCE = 1000


def sentence(error: Exception) -> str:
    """Say in mrkdwn why an act had no effect, and what to do."""
    match error:
        case errors.NotAllowed(people=people) if people:
            return f"{error} {_who_may(people)}"
        case errors.TooEarly(counts_from=counts_from):
            time = mrkdwn.date(Moment(counts_from, has_seconds=True))
            return error.sentence.format(counts_from=time)
        case errors.WrongCluster(cluster=cluster, typed=typed):
            return (
                f"This download belongs to the cluster {mrkdwn.code(cluster)}, not to "
                f"{mrkdwn.code(typed)}. Type the command with {mrkdwn.code(cluster)}."
            )
        case NothingChanged():
            return late_click(error)
        case CancellationError() | AtlasError() | SlackError() | InvalidName():
            return mrkdwn.escape(str(error), MAX_SENTENCE)
    raise error


def _who_may(people: People) -> str:
    """Say who may do it: guests and people of other organizations are in no `*`."""
    everybody = f"{EVERY_MEMBER[:1].upper()}{EVERY_MEMBER[1:]} of this workspace may."
    return everybody if people.everyone else f"{mrkdwn.people(people)} may."


def late_click(error: NothingChanged) -> str:
    """Say that a click changed nothing: who decided, when, and what holds now."""
    if isinstance(error, errors.DownloadEnded):
        return f"{CHANGED_NOTHING}: the download has ended."
    if error.request:
        return f"{CHANGED_NOTHING}: {status(error.request)}"
    if decision := error.let_run:
        by = mrkdwn.person(decision.by)
        return f"{CHANGED_NOTHING}: {by} let this download run at {_time(decision.at)}."
    return f"{CHANGED_NOTHING}: nothing waits for a decision here any more."


def status(request: Request) -> str:
    """Say how a request stands, with who decided and when."""
    at = _time(request.changed_at)
    by = mrkdwn.person(request.outcome.by) if request.outcome.by else "the bot"
    approved = _approved(request)
    return {
        State.AWAITING: f"another request about this download has been waiting since {at}.",
        State.APPROVED: f"{approved} at {at}, and the download is being cancelled.",
        State.CANCELLING: f"{approved}, and the bot has been cancelling the download since {at}.",
        State.CANCELLED: f"{approved}, and Atlas confirmed at {at} that it is cancelled.",
        State.OVER: f"the download ended by other means at {at}.",
        State.REFUSED: f"Atlas refused at {at} to cancel it.",
        State.CHANGED: f"Atlas showed another job at {at}, so nothing was sent.",
        State.FAILED: f"the bot gave up at {at}. Look in Atlas.",
        State.DENIED: f"{by} let this download run at {at}.",
        State.WITHDRAWN: f"{by} withdrew the request at {at}.",
        State.EXPIRED: f"nobody approved in time, until {at}.",
    }[request.state]


def _approved(request: Request) -> str:
    """Say who let a request run, as the beginning of a sentence."""
    if request.alone:
        return f"{mrkdwn.person(request.alone)} cancelled without approval"
    if request.is_automatic:
        return "auto-cancel approved this"
    if request.approvals:
        approvers = [mrkdwn.person(item.user) for item in request.approvals]
        return f"{mrkdwn.join(approvers)} approved this"
    return f"{mrkdwn.person(request.requester or '')} asked"


def joined(request: Request, link: str | None, *, is_approval: bool = False) -> str:
    """Say that a request is open already: who asked, and where its message is."""
    who = mrkdwn.person(request.requester) if request.requester else "Auto-cancel"
    where = f" {mrkdwn.link(link, 'Its message')} shows what happens." if link else ""
    if is_approval:
        return f"You approved what {who} asked.{where}"
    asked = f"{who} asked to cancel this download at {_time(request.created_at)}"
    waits = ", and it waits for approval" if request.state is State.AWAITING else ""
    return f"{asked}{waits}. {CHANGED_NOTHING}.{where}"


def cannot_post(channel: str | None, bot_user: str) -> str:
    """Say how to invite the bot where a request needs a channel."""
    where = f" in <#{channel}>" if channel else " here"
    return (
        f"The bot may not post{where}, so nobody could approve. "
        f"Type `/invite` there and choose <@{bot_user}>, then try again."
    )


def _time(moment: datetime) -> str:
    return mrkdwn.date(Moment(moment))
