"""The errors of calls to Atlas; the docstring of each leaf is the sentence for people.

AtlasError
├── AtlasRejected           a definite refusal: a retry changes nothing
└── AtlasUnavailable        not settled, and possibly temporary
    └── NoConnection        before anything was sent
        └── ConnectionBroken    after something was sent
"""

import inspect


class AtlasError(Exception):
    """A call to Atlas failed; `str(error)` is a sentence for people, with the fix."""

    def __init__(
        self,
        sentence: str | None = None,
        *,
        status: int | None = None,
        code: str | None = None,
        detail: str = "",
        call: str = "",
        retry_after: float | None = None,
        may_have_taken_effect: bool = False,
    ) -> None:
        super().__init__(sentence or _own_sentence(type(self)))
        self.status = status  #: the HTTP status, or None without a response
        self.code = code  #: Atlas's `errorCode`, if given
        #: Atlas's own explanation, short; untrusted text, to be escaped before it is shown.
        self.detail = detail
        self.call = call  #: method and path
        self.retry_after = retry_after  #: seconds to wait, if Atlas gave them
        #: Whether a DELETE may have been executed all the same; read the job before anything else.
        self.may_have_taken_effect = may_have_taken_effect


def _own_sentence(leaf: type[AtlasError]) -> str:
    return " ".join((inspect.getdoc(leaf) or leaf.__name__).split("\n\n")[0].split())


class AtlasRejected(AtlasError):
    """Atlas refused what was asked."""


class KeyRefused(AtlasRejected):
    """Atlas did not accept the bot's key: check it, and that it has access to this project."""


class RoleMissing(AtlasRejected):
    """The bot's key may not do this: give it the roles Backup Manager and Recovery Operator.

    In full Project Backup Manager, to read restore jobs, and Project Backup Recovery Operator, to
    cancel them.
    """


class NotOnAccessList(AtlasRejected):
    """The bot's key may not be used from this address: add the address to its access list."""


class ProjectNotFound(AtlasRejected):
    """Atlas knows no such project: check the project id."""


class ClusterNotFound(AtlasRejected):
    """There is no such cluster in the project: check its name, and that the project is right."""


class WrongClusterKind(AtlasRejected):
    """Atlas cannot cancel restore jobs of flex and serverless clusters: it has no call for it."""


class JobNotFound(AtlasRejected):
    """The cluster has no such restore job: check its id, and that the cluster is right."""


class NotCancellable(AtlasRejected):
    """Atlas does not cancel this job: it cancels whole download jobs only, until they are over."""


class Maintenance(AtlasRejected):
    """Atlas is under maintenance and takes no changes: try again later."""


class VersionGone(AtlasRejected):
    """Atlas does not serve this version of its API: update this program, or set another version."""


class OtherRefusal(AtlasRejected):
    """Atlas refused what was asked."""


class AtlasUnavailable(AtlasError):
    """There was no usable response from Atlas."""


class RateLimited(AtlasUnavailable):
    """Atlas limits how often it may be asked: try again in a minute."""


class Unavailable(AtlasUnavailable):
    """Atlas answered that it has a problem of its own: try again in a minute."""


class UnreadableAnswer(AtlasUnavailable):
    """Atlas's answer could not be read: check that the address is Atlas's, and try again."""


class ChallengeNotUnderstood(AtlasUnavailable):
    """The server asks for a login that an API key cannot give: check its address, and any proxy."""


class TimedOut(AtlasUnavailable):
    """Atlas did not answer in time: try again in a minute."""


class NoConnection(AtlasUnavailable):
    """Atlas could not be reached: check the address, the network, and the proxy if there is one."""


class ConnectionBroken(NoConnection):
    """The connection to Atlas broke before its answer was complete: try again."""
