"""The names in payloads, which are a contract, and the values of buttons."""

from bot.atlas import InvalidName, JobRef

EVENT_TYPE = "cancel_restore"  #: of the metadata of a message
DIALOG = "cancel_restore"  #: callback id of the dialog
REASON_DIALOG = "cancel_restore_deny_reason"  #: callback id of the one that asks why
OPEN = "cancel_restore_open"  #: action id of *Cancel this download*
APPROVE = "cancel_restore_approve"
LET_RUN = "cancel_restore_deny"
REASON = "reason"  #: block id
ALONE = "alone"  #: block id, and the value of its option
_SEPARATOR = ":"
_JOB_PARTS = 3


def button_value(ref: JobRef, request_id: str | None = None) -> str:
    """Return the value of a button about a download and, if one is open, its request."""
    return _SEPARATOR.join([ref.project_id, ref.cluster_name, ref.job_id, request_id or ""])


def parse_value(value: object) -> tuple[JobRef, str | None] | None:
    """Return the download and the request of a button's value; None for any other text."""
    project, *rest = str(value or "").split(_SEPARATOR)
    if len(rest) != _JOB_PARTS:
        return None
    cluster, job_id, request_id = rest
    try:
        return JobRef(project, cluster, job_id), request_id or None
    except InvalidName:
        return None
