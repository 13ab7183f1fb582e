"""The private sentences to the person who clicked or typed (pure)."""

from bot.atlas import AtlasError
from bot.cancellation import errors
from bot.cancellation.errors import CancellationError, NothingChanged
from bot.cancellation.request import Request, State
from bot.slack import mrkdwn
from bot.slack.errors import SlackError

CHANGED_NOTHING = "Your click changed nothing"


def sentence(error: Exception) -> str:
    """Say in mrkdwn why an act had no effect, and what to do."""
    match error:
        case errors.NotAllowed(people=people) if people and not people.everyone:
            return f"{error} {mrkdwn.people(people)} may."
        case errors.TooEarly(counts_from=counts_from):
            time = mrkdwn.date(counts_from, seconds=True)
            return f"Atlas has not yet shown who started it. Your click counts from {time} on."
        case errors.WrongCluster(cluster=cluster, typed=typed):
            return (
                f"This download belongs to the cluster {mrkdwn.code(cluster)}, not to "
                f"{mrkdwn.code(typed)}. Type the command with {mrkdwn.code(cluster)}."
            )
        case NothingChanged(request=request):
            return late_click(error, request)
        case CancellationError() | AtlasError() | SlackError():
            return mrkdwn.escape(str(error), 1000)
    raise error


def late_click(error: NothingChanged, request: Request | None) -> str:
    """Say that a click changed nothing: who decided, when, and what holds now."""
    if isinstance(error, errors.DownloadEnded):
        return f"{CHANGED_NOTHING}: the download has ended."
    if request is None:
        return f"{CHANGED_NOTHING}: nothing waits for a decision here any more."
    return f"{CHANGED_NOTHING}: {status(request)}"


def status(request: Request) -> str:
    """Say how a request stands, with who decided and when."""
    at = mrkdwn.date(request.changed_at)
    by = mrkdwn.person(request.outcome.by) if request.outcome.by else "the bot"
    approvers = [mrkdwn.person(item.user) for item in request.approvals]
    if request.alone:
        approved = f"{mrkdwn.person(request.alone)} cancels without approval"
    elif request.is_automatic:
        approved = "auto-cancel approved this"
    elif approvers:
        approved = f"{mrkdwn.join(approvers)} approved this"
    else:
        approved = "this needs no approval"
    return {
        State.AWAITING: f"another request about this download is open since {at}.",
        State.APPROVED: f"{approved} at {at}, and the download is being cancelled.",
        State.CANCELLING: f"{approved}, and the download is being cancelled since {at}.",
        State.CANCELLED: f"{approved}, and Atlas confirmed at {at} that it is cancelled.",
        State.OVER: f"the download ended by other means at {at}.",
        State.REFUSED: f"Atlas refused at {at} to cancel it.",
        State.CHANGED: f"Atlas showed another job at {at}, so nothing was sent.",
        State.FAILED: f"the bot gave up at {at}. Look in Atlas.",
        State.DENIED: f"{by} let this download run at {at}.",
        State.WITHDRAWN: f"{by} withdrew the request at {at}.",
        State.EXPIRED: f"nobody approved in time, until {at}.",
    }[request.state]


def joined(request: Request, link: str | None, *, is_approval: bool = False) -> str:
    """Say that a request is open already: who asked, and where its message is."""
    who = mrkdwn.person(request.requester) if request.requester else "Auto-cancel"
    where = f" {mrkdwn.link(link, 'Its message')} shows what happens." if link else ""
    if is_approval:
        return f"You approved what {who} asked.{where}"
    asked = f"{who} asked to cancel this download at {mrkdwn.date(request.created_at)}"
    waits = ", and it waits for approval" if request.state is State.AWAITING else ""
    return f"{asked}{waits}. {CHANGED_NOTHING}.{where}"


def cannot_post(channel: str | None, bot_user: str) -> str:
    """Say how to invite the bot where a request needs a channel."""
    where = f" in <#{channel}>" if channel else " here"
    return (
        f"The bot may not post{where}, so nobody could approve. "
        f"Type `/invite` there and choose <@{bot_user}>, then try again."
    )
