"""The only statements that write requests and approvals; a test names who may import them.

Those that change a request in a state return its row, so that the caller sees who was first.
"""

from sqlalchemy import bindparam, delete, insert, or_, update

from bot.storage.database import has_passed
from bot.storage.tables import approvals, requests

# Built once, because that takes longer than to run them.
INSERT_REQUEST = insert(requests)
#: Updates the request `of` in any state; the other parameters are its new values.
UPDATE_REQUEST = update(requests).where(requests.c.id == bindparam("of"))
#: Updates the request `of` only while it is in the state `expected`, and returns its row.
CHANGE_REQUEST = UPDATE_REQUEST.where(requests.c.state == bindparam("expected")).returning(requests)

_NOW, _FAR = (bindparam(name, type_=requests.c.lease_until.type) for name in ("now", "far"))
#: Changes a request under the lease of `holder`; and only while this lease runs.
CHANGE_HELD = CHANGE_REQUEST.where(requests.c.lease_owner == bindparam("holder"))
CHANGE_LEASED = CHANGE_HELD.where(requests.c.lease_until > _NOW)
#: Changes a request whose lease has expired, or was taken before the clock was set back.
CHANGE_LEFT = CHANGE_REQUEST.where(has_passed(requests.c.lease_until, _NOW, _FAR))
#: Plans the next notice of a request, if the one that was `due` is still to come.
CHANGE_DUE = CHANGE_REQUEST.where(
    requests.c.next_notice_at == bindparam("due"), requests.c.expires_at > _NOW
)
#: Lets another DELETE be sent, since a person decided again; an accepted one may still work.
RETRY_REQUEST = UPDATE_REQUEST.values(
    delete_unknown=or_(requests.c.delete_unknown, requests.c.delete_accepted),
    delete_accepted=False,
    approvals_needed=bindparam("approvals_needed"),
    expires_at=bindparam("expires_at"),
)
INSERT_APPROVAL = insert(approvals)
_APPROVALS_OF_REQUEST = approvals.c.request == bindparam("of")
_OF_USER = approvals.c.user == bindparam("by")
VOID_APPROVAL = update(approvals).where(_APPROVALS_OF_REQUEST, _OF_USER)
DELETE_APPROVAL = delete(approvals).where(_APPROVALS_OF_REQUEST, _OF_USER)
DELETE_APPROVALS = delete(approvals).where(_APPROVALS_OF_REQUEST)
