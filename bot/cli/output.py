"""What commands write: JSON lines, tables, a restore job, the steps of its cancellation."""

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NoReturn, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.atlas import AtlasRejected
from bot.atlas.errors import ConnectionBroken, NoConnection, TimedOut
from bot.atlas.models import DeliveryType
from bot.cancellation.events import EventName, Recorded, readable_fields, state_entered
from bot.cancellation.job import TO_COME
from bot.cancellation.lifecycle import Request, State
from bot.services.jobs import JobDetails
from bot.slack import job_lines
from bot.slack.mrkdwn import DELIVERY_TYPES

FAILED = 1
WRONG_USAGE = 2  # or wrong settings
WAITS_FOR_APPROVAL = 3
INTERRUPTED = 130  # by Ctrl-C, as shells report it
UNLIMITED = 10_000  #: a width that no table reaches, to measure how wide it is

#: The sentence of a step, by its event; the fields are those of the event and its detail.
STEPS: Mapping[str, str] = {
    EventName.CREATED: "Recorded as request {request}.",
    EventName.ACTED_ALONE: "It runs without approval. {review}",
    EventName.APPROVED: "It may run now.",
    EventName.CLAIMED: "Reading the job ({runner}).",
    EventName.TAKEN_OVER: "Reading the job again ({runner}); the runner before it has stopped.",
    EventName.CANCEL_SENT: "DELETE sent, try {try}.",
}
#: What follows Atlas's answer to a DELETE: where it accepts, where it refuses, and elsewhere.
ACCEPTED = "Atlas accepted it ({answer}). Waiting until the job reads cancelled."
REFUSED = "Atlas refused it ({answer}). Reading the job once more before the request ends."
NO_ANSWER = (
    "No usable answer ({answer}). Reading the job, which gets another DELETE if it still runs."
)
#: Why there was no answer at all, by the error of the event.
REASONS = {
    each.__name__: each.sentence.partition(":")[0]
    for each in (TimedOut, NoConnection, ConnectionBroken)
}
#: The errors in events that are refusals.
REFUSALS = frozenset(each.__name__ for each in AtlasRejected.__subclasses__())


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Write `message` to standard error and end the command with `code`."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


@contextmanager
def failing_on(*errors: type[Exception], code: int = FAILED) -> Iterator[None]:
    """End the command with the sentence of such an error."""
    try:
        yield
    except errors as error:
        fail(str(error), code)


class OutputFormat(StrEnum):
    TABLE = "table"
    JSON = "json"  #: an object a line, so also called `jsonl`
    CSV = "csv"


def format_of(
    how: str,
    out: TextIO | None = None,
    formats: Collection[OutputFormat] = (OutputFormat.TABLE, OutputFormat.JSON),
) -> OutputFormat:
    """Parse `--format`; without it, text on a terminal and JSON lines elsewhere."""
    how = OutputFormat.JSON if how == "jsonl" else how
    if not how:
        return OutputFormat.TABLE if (out or sys.stdout).isatty() else OutputFormat.JSON
    if how not in formats:
        names = ["json (jsonl)" if each is OutputFormat.JSON else each for each in formats]
        fail(f"There is no format {how!r}; there are: {', '.join(names)}.", WRONG_USAGE)
    return OutputFormat(how)


def printable(text: str) -> str:
    """Escape, as JSON does, control and direction characters, which a terminal would obey."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def write_json(fields: Mapping[str, Any], out: TextIO) -> None:
    """Write one JSON object as a line."""
    ensure_ascii = not (out.encoding or "utf-8").lower().startswith("utf")
    out.write(printable(json.dumps(fields, ensure_ascii=ensure_ascii)) + "\n")


def write_table(headers: Sequence[str], rows: Iterable[Sequence[str]], out: TextIO) -> None:
    """Write a table, one line for each row; a terminal that is narrower gets lines of fields."""
    table, rows = Table(*headers), [*rows]
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))  # not markup
    console = Console(file=out)
    width = console.measure(table, options=console.options.update(width=UNLIMITED)).maximum
    if not out.isatty() or width <= console.width:
        Console(file=out, width=width).print(table)
        return
    for row in rows:
        write_fields(zip(headers, row, strict=True), out)
        out.write("\n")


def write_fields(fields: Iterable[tuple[str, str]], out: TextIO) -> None:
    """Write labels and their values, if known, a line each; long ones go on below themselves."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, value in fields:
        if value:
            grid.add_row(label, Text(printable(value)))
    Console(file=out, width=None if out.isatty() else UNLIMITED).print(grid)


class Terminal:
    """Shows names and times as they are."""

    def code(self, text: str) -> str:
        return text

    def date(self, moment: datetime, *, seconds: bool = False) -> str:
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M{':%S' if seconds else ''}} UTC"

    def sign(self, emoji: str) -> str:  # noqa: ARG002 - as Slack's style has it
        return ""


TERMINAL = Terminal()


def fields_of(details: JobDetails) -> dict[str, Any]:
    """Return the fields under the names of the JSON output; None is not known."""
    ref, job, known, request = details.ref, details.job, details.known, details.open_request
    starter = known.started_by.starter
    candidates = [starter.name, *starter.others] if starter else []
    is_to_come = known.phase in TO_COME and job.delivery_type == DeliveryType.DOWNLOAD
    return {
        "project": details.project_name,
        "cluster": ref.cluster_name,
        "job": ref.job_id,
        "type": str(job.delivery_type),
        "snapshot": iso(job.snapshot_time),
        "snapshot_id": job.snapshot_id or None,
        "started": iso(ref.started_at),
        "by": starter.name or None if starter and starter.certain else None,
        "by_candidates": [name for name in candidates if name] or None,
        "link_expected": iso(known.expected_at) if is_to_come else None,
        "live_since": iso(known.live_since),
        "link_unknown": known.link_unknown,
        "state": known.state.value,
        "request": request.id if request else None,
        "note": details.note or None,
    }


def lines_of(details: JobDetails) -> list[tuple[str, str]]:
    """Return labels and values, as the dialog shows them; a value that is not known is empty."""
    ref, job, known, request = details.ref, details.job, details.known, details.open_request
    kind, taken_at = str(job.delivery_type), job.snapshot_time
    snapshot = TERMINAL.date(taken_at, seconds=True) if taken_at else ""
    link = job_lines.link_text(known, TERMINAL) if kind == DeliveryType.DOWNLOAD else ""
    return [
        ("Project", details.project_name),
        ("Cluster", ref.cluster_name),
        ("Job id", ref.job_id),
        ("Type", DELIVERY_TYPES.get(kind, kind)),
        ("State", details.state_sentence),
        ("Snapshot", f"{snapshot} {job.snapshot_id}".strip()),
        ("Started", TERMINAL.date(ref.started_at, seconds=True)),
        ("By", job_lines.who(known.started_by, TERMINAL)),
        ("Download link", link),
        ("Open request", request.id if request else ""),
        ("Note", details.note),
    ]


def link_of(details: JobDetails) -> str:
    """Say in a sentence how long is left for a download."""
    return f"Download link: {job_lines.link_text(details.known, TERMINAL)}."


def iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


class Progress:
    """Shows the steps of a request: lines with a spinner on a terminal, JSON lines elsewhere."""

    review = ""  #: who is asked to review a request that runs without approval

    def __init__(self, form: OutputFormat, out: TextIO) -> None:
        self._form = form
        self._out = out
        self._console = Console(file=out, highlight=False, soft_wrap=not out.isatty())
        self._shown = 0
        self._state = State.AWAITING
        self.request: str | None = None  #: the id of the request that was shown last
        self.fields: dict[str, Any] = {}  #: of the job, for JSON lines

    def waiting(self) -> AbstractContextManager[object]:
        is_terminal = self._form is OutputFormat.TABLE and self._out.isatty()
        return self._console.status("…") if is_terminal else nullcontext()

    def step(self, event: Recorded, request: Request) -> None:
        """Show an event of the request, once."""
        if event.number <= self._shown:
            return
        self._shown = event.number
        self.request = request.id
        fields, _ = readable_fields(event)
        self._state = state_entered(event.event, fields) or self._state
        sentence = sentence_of({**fields, "review": self.review})
        live, unknown = fields.get("link_live_since"), bool(fields.get("link_unknown"))
        if live or unknown:  # by reads after that of the fields
            since = iso(datetime.fromisoformat(live)) if live else None
            self.fields |= {"link_expected": None, "live_since": since, "link_unknown": unknown}
            sentence += job_lines.past_link_sentence(live, unknown)
        self._write(sentence, event.at, str(self._state), event.event)

    def note(self, sentence: str, request: Request | None = None) -> None:
        """Show a sentence that is no event."""
        if request:
            self.request = request.id
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._write(sentence, at, str(request.state if request else self.fields["state"]))

    def fail(self, sentence: str) -> None:
        """Repeat on standard error why the job is not cancelled, where the steps are JSON."""
        if self._form is OutputFormat.JSON:
            typer.echo(printable(sentence), err=True)

    def _write(self, sentence: str, at: str, state: str, event: str | None = None) -> None:
        if self._form is OutputFormat.JSON:
            facts = {"state": state, "request": self.request, "at": at, "event": event}
            write_json({**self.fields, **facts, "sentence": sentence}, self._out)
        else:  # as Text: what Atlas and people wrote is no markup
            self._console.print(Text(f"{at[11:19]}  "), Text(printable(sentence)), sep="")
        self._out.flush()


def sentence_of(fields: Mapping[str, Any]) -> str:
    event, error = fields["event"], str(fields.get("error") or "")
    if event == EventName.CANCEL_ANSWERED:
        answer = " ".join(str(fields[name]) for name in ("status", "code") if fields.get(name))
        text = REFUSED if error in REFUSALS else NO_ANSWER if error else ACCEPTED
        return text.format(answer=answer or REASONS.get(error, error))
    if text := STEPS.get(event, ""):
        return text.format(**fields)
    said = str(fields.get("sentence") or "")
    name = str(event).partition(":")[2].replace("_", " ").capitalize()
    return f"{name}: {said}" if said else f"{name}."
