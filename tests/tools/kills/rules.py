"""What must never happen, checked from the stand-ins, the database and what people did."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.sandbox.atlas import Call
from tests.tools.kills.record import Act, Download, Process, Record, Stored

#: Seconds from the record of a DELETE to the DELETE, and the tolerance for a busy machine.
SEND_WITHIN = 5.0 + 1.0
OPEN = frozenset({"awaiting", "approved", "cancelling"})
ENDED_WITH_DOWNLOAD = frozenset({"cancelled", "over"})
DECIDED = ("request:denied", "request:withdrawn", "request:expired", "download:let_run")
#: How the events of a request by a person are made.
KINDS_OF = {
    "request:created": ("ask", "alone", "command"),
    "request:acted_alone": ("alone", "command"),
    "request:approval_given": ("approve", "ask", "alone"),
    "download:let_run": ("let_run",),
    "request:denied": ("let_run",),
    "request:withdrawn": ("let_run",),
}


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that must not happen."""

    rule: str
    name: str  #: of the job or the process
    what: str


@dataclass(frozen=True, slots=True)
class Delete:
    """A DELETE that reached Atlas."""

    at: float
    job: str
    host: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the rules look at."""

    record: Record
    stored: Stored
    deletes: list[Delete]
    messages: dict[str, list[dict[str, Any]]]  #: the metadata of each job's messages
    at: float  #: when it was read

    def deletes_of(self, job: str) -> list[Delete]:
        return [delete for delete in self.deletes if delete.job == job]


Rule = Callable[[Evidence, Download], Iterator[str]]


def deletes(calls: list[Call]) -> list[Delete]:
    """Return the DELETEs whose credentials Atlas took, in the order in which they came."""
    sent = [call for call in calls if call.method == "DELETE" and not call.challenge]
    found = [
        Delete(call.at.timestamp(), call.path.partition("?")[0].rpartition("/")[2], call.host)
        for call in sent
    ]
    return sorted(found, key=lambda delete: delete.at)


def time_of(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


def is_late(evidence: Evidence, delete: Delete, since: float) -> bool:
    """Whether its process was stopped between the record and the DELETE: one may come late."""
    process = evidence.record.processes[delete.host]
    return process.stopped_within(since, delete.at)


def asked_for(evidence: Evidence, download: Download) -> Iterator[str]:
    """Each DELETE: somebody who may ask has asked, or the auto-cancel time has come."""
    for delete in evidence.deletes_of(download.job.id):
        if not _asked(evidence.record, download, delete.at) and not _is_due(download, delete.at):
            yield f"DELETE at {delete.at:.3f}"


def approved(evidence: Evidence, download: Download) -> Iterator[str]:
    """Each DELETE: the people whom the policy wants have decided before it."""
    for delete in evidence.deletes_of(download.job.id):
        if not _is_allowed(evidence.record, download, delete.at):
            yield f"DELETE at {delete.at:.3f}"


def _before(record: Record, download: Download, at: float) -> list[Act]:
    return [act for act in record.of(download.job.id) if act.began <= at]


def _asked(record: Record, download: Download, at: float) -> list[str]:
    acts = _before(record, download, at)
    return [
        act.who
        for act in acts
        if act.kind == "command"
        or (act.kind in {"ask", "alone"} and act.who in download.project.may_ask)
    ]


def _is_due(download: Download, at: float) -> bool:
    return download.auto_cancel_at is not None and at >= download.auto_cancel_at


def _is_allowed(record: Record, download: Download, at: float) -> bool:
    acts, policy = _before(record, download, at), download.project
    asked = _asked(record, download, at)
    if any(act.kind == "command" for act in acts) or (asked and download.needed == 0):
        return True
    if any(act.kind == "alone" and act.who in policy.alone for act in acts):
        return True
    decided = {a.who for a in acts if a.kind != "let_run" and a.who in policy.approvers}
    if policy.auto_cancel_after is not None and (_is_due(download, at) or (asked and decided)):
        return True
    return any(len(decided - {who}) >= download.needed for who in asked)


def not_decided_otherwise(evidence: Evidence, download: Download) -> Iterator[str]:
    """No DELETE after *Let it run* or a withdrawal, unless somebody asked again since."""
    acts = evidence.record.of(download.job.id)
    for decision in (act for act in acts if act.kind == "let_run" and act.accepted):
        since = decision.ended or decision.began
        is_final = decision.who in download.project.approvers
        for delete in evidence.deletes_of(download.job.id):
            asked_again = any(
                act.kind in {"ask", "alone", "command"}
                and (act.ended is None or act.ended > decision.began)
                and act.began <= delete.at
                for act in acts
            )
            is_auto = _is_due(download, delete.at) and not is_final
            is_explained = asked_again or is_auto
            if delete.at > since and not is_explained and not is_late(evidence, delete, since):
                yield f"let run by {decision.who} at {since:.3f}, DELETE at {delete.at:.3f}"


def while_cancelling(evidence: Evidence, download: Download) -> Iterator[str]:
    """Each DELETE: by the record, a request about the job was being cancelled at that moment."""
    events = evidence.stored.events_of(download.job.id)
    for delete in evidence.deletes_of(download.job.id):
        before = [event for event in events if time_of(event) <= delete.at]
        last_sent = [event for event in before if event["event"] == "atlas:cancel_sent"]
        if not last_sent:
            continue  # the rule about records has it
        later = before[before.index(last_sent[-1]) + 1 :]
        ends = [e["event"] for e in later if e["event"] in DECIDED or _is_end(e)]
        if ends and not is_late(evidence, delete, time_of(last_sent[-1])):
            yield f"DELETE at {delete.at:.3f}, after {ends}"


def _is_end(event: dict[str, Any]) -> bool:
    ends = ("cancelled", "over", "refused", "changed", "failed", "awaiting")
    return event["event"] in {f"request:{name}" for name in ends}


def recorded(evidence: Evidence, download: Download) -> Iterator[str]:
    """Before each DELETE there is an attempt of its own in the record."""
    sent = [
        time_of(event)
        for event in evidence.stored.events_of(download.job.id)
        if event["event"] == "atlas:cancel_sent"
    ]
    for number, delete in enumerate(evidence.deletes_of(download.job.id), 1):
        before = [at for at in sent if at <= delete.at]
        if len(before) < number:
            yield f"DELETE {number} at {delete.at:.3f}, {len(before)} attempts before it"


def in_time(evidence: Evidence, download: Download) -> Iterator[str]:
    """Each DELETE comes at once after its record, unless its process was stopped between."""
    for delete, sent in _with_record(evidence, download):
        if delete.at - sent > SEND_WITHIN and not is_late(evidence, delete, sent):
            yield f"DELETE {delete.at - sent:.1f} s after its record"


def _with_record(evidence: Evidence, download: Download) -> Iterator[tuple[Delete, float]]:
    """Yield each DELETE with the time of the record before it."""
    events = evidence.stored.events_of(download.job.id)
    sent = [time_of(event) for event in events if event["event"] == "atlas:cancel_sent"]
    for delete in evidence.deletes_of(download.job.id):
        if before := [at for at in sent if at <= delete.at]:
            yield delete, before[-1]


def one_sender(evidence: Evidence) -> Iterator[Found]:
    """One process for each number of the lease sends DELETEs, and none does for two at a time."""
    senders: dict[int, tuple[Process, str]] = {}
    for download in evidence.record.downloads.values():
        for delete, sent in _with_record(evidence, download):
            number = evidence.record.lease_number(sent)
            if number is None or is_late(evidence, delete, sent):
                continue
            process = evidence.record.processes[delete.host]
            first, job = senders.setdefault(number, (process, download.job.id))
            if first is not process:
                what = f"{first.name} ({job}) and {process.name} sent for lease {number}"
                yield Found("DELETE of a process that is not active", download.job.id, what)


def confirmed(evidence: Evidence, download: Download) -> Iterator[str]:
    """What is stored as cancelled reads cancelled in Atlas."""
    for request in evidence.stored.requests_of(download.job.id):
        if request["state"] == "cancelled" and not download.job.cancelled:
            yield f"request {request['id']}"


def settled(evidence: Evidence, download: Download) -> Iterator[str]:
    """A minute after the last fault no request is open, unless it waits for people."""
    for request in evidence.stored.requests_of(download.job.id):
        is_over = request["state"] in OPEN and download.job.over
        if is_over or is_left_open(request, evidence.at):
            yield f"request {request['id']} is {request['state']}: {request['trouble']}"


def is_left_open(request: dict[str, Any], now: float) -> bool:
    """Whether a request should have ended: it runs, or its time is over."""
    is_waiting = request["state"] == "awaiting" and request["expires_at"] > now * 1000
    return request["state"] in OPEN and not is_waiting


def one_message(evidence: Evidence, download: Download) -> Iterator[str]:
    """There is one message for each download."""
    found = evidence.messages.get(download.job.id, [])
    if len(found) != 1:
        yield f"{len(found)} messages: {found}"


def shown_as_stored(evidence: Evidence, download: Download) -> Iterator[str]:
    """The message shows the state that is stored, and nothing is left to post."""
    row = evidence.stored.downloads.get(download.job.id)
    shown = evidence.messages.get(download.job.id)
    if row is None or not shown:
        yield "the download is not stored" if row is None else "no message"
        return
    requests = evidence.stored.requests_of(download.job.id)
    opened = [request for request in requests if request["state"] in OPEN]
    request = next(iter(opened or requests[-1:]), None)
    expected = state_of(row, request)
    if shown[-1]["state"] != expected or shown[-1]["request"] != (request or {"id": ""})["id"]:
        yield f"shown {shown[-1]}, stored {expected} of {request and request['id']}"
    if download.job.over and not has_ended(row):
        yield "its end in Atlas is not stored"
    if row["shown_version"] != row["wanted_version"]:
        yield f"version {row['shown_version']} of {row['wanted_version']} is shown"
    if waiting := [
        reply for reply in evidence.stored.unposted if reply["job_id"] == download.job.id
    ]:
        yield f"not posted: {[reply['kind'] for reply in waiting]}"


def has_ended(row: dict[str, Any]) -> bool:
    """Whether a stored download has ended."""
    return any(row[name] for name in ("cancelled", "failed", "expired", "is_gone", "finished_at"))


def state_of(row: dict[str, Any], request: dict[str, Any] | None) -> str:
    """Return the state that the contract wants in the message's metadata."""
    if request and request["state"] in OPEN | ENDED_WITH_DOWNLOAD:
        return str(request["state"])
    if has_ended(row):
        return "ended"
    if row["auto_cancel_at"] and not row["let_run_at"] and not row["auto_cancelled_at"]:
        return "auto_cancel"
    is_let_run = row["let_run_at"] is not None
    if request is None:
        return "let_run" if is_let_run else "announced"
    is_later = is_let_run and row["let_run_at"] > request["changed_at"]
    return "let_run" if is_later else str(request["state"])


def done_by_somebody(evidence: Evidence, download: Download) -> Iterator[str]:
    """Each event with a person is something that this person did."""
    for event in evidence.stored.events_of(download.job.id):
        actor, kinds = event["actor"], KINDS_OF.get(event["event"], ())
        if not kinds or actor is None:
            continue
        acts = evidence.record.of(download.job.id)
        is_known = any(
            act.kind in kinds
            and act.began <= time_of(event) + 0.001
            and (act.who == actor or (act.kind == "command" and actor.startswith("cli:")))
            for act in acts
        )
        if not is_known:
            yield f"{event['event']} by {actor} at {event['at']}"


RULES: dict[str, Rule] = {
    "DELETE that nobody asked for": asked_for,
    "DELETE without the approvals": approved,
    "DELETE after Let it run or a withdrawal": not_decided_otherwise,
    "DELETE while no request is being cancelled": while_cancelling,
    "DELETE without a record before it": recorded,
    "DELETE long after its record": in_time,
    "stored as cancelled, not cancelled in Atlas": confirmed,
    "event of something that nobody did": done_by_somebody,
}
#: What holds once nothing is left to be done.
SETTLED_RULES: dict[str, Rule] = {
    "request open for no reason": settled,
    "not one message": one_message,
    "message differs from what is stored": shown_as_stored,
}
#: Rules that are checked while the campaign runs, or about all downloads together.
OTHERS = (
    "DELETE of a process that is not active",
    "cancelled shown, not cancelled in Atlas",
    "click without an answer",
    "nobody is active",
    "exit that nobody asked for",
    "no end after SIGTERM",
    "traceback in a log",
    "command that did not end",
    "command that failed otherwise",
    "rule of Slack broken",
    "audit not verified",
)


def check(evidence: Evidence) -> list[Found]:
    """Return everything that must not have happened."""
    found = [Found(*item) for item in evidence.record.found]
    return [*found, *_apply(RULES, evidence), *one_sender(evidence)]


def check_settled(evidence: Evidence) -> list[Found]:
    """Return what is left to be done, seen or shown."""
    return list(_apply(SETTLED_RULES, evidence))


def _apply(named: dict[str, Rule], evidence: Evidence) -> Iterator[Found]:
    for download in evidence.record.downloads.values():
        for name, rule in named.items():
            for what in rule(evidence, download):
                yield Found(name, download.job.id, what)


def history(evidence: Evidence, name: str) -> list[str]:
    """Return what happened to a job or a process, oldest first."""
    lines = [(at, what) for at, what in evidence.record.notes.get(name, [])]
    for event in evidence.stored.events_of(name):
        detail = {k: v for k, v in event.items() if k not in {"at", "hash", "shown"}}
        lines.append((time_of(event), f"recorded {json.dumps(detail)}"))
    for delete in evidence.deletes_of(name):
        process = evidence.record.processes[delete.host]
        lines.append((delete.at, f"DELETE of {process.name}, stopped {process.stops}"))
    return [f"{datetime.fromtimestamp(at, UTC):%H:%M:%S.%f} {what}" for at, what in sorted(lines)]
