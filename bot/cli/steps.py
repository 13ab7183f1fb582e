"""Shows the steps of `cancel`: sentences on a terminal, JSON lines elsewhere."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import typer

from bot.cancellation.events import EventName
from bot.cancellation.facts import Facts
from bot.cancellation.phase_words import headline, story
from bot.cancellation.request import Request, State
from bot.cancellation.text import Text, plain, printable
from bot.cancellation.words import link_line
from bot.cli import output
from bot.cli.output import OutputFormat

#: A step that leads on; the end has the words of the message in Slack.
SENTENCES: Mapping[EventName, str] = {
    EventName.CREATED: "The request is recorded.",
    EventName.ACTED_ALONE: "It runs without approval.",
    EventName.APPROVAL_GIVEN: "Somebody approved it.",
    EventName.APPROVED: "It is approved.",
    EventName.AWAITING: "The request waits for approval.",
    EventName.REMINDED: "The approvers were reminded.",
    EventName.CANCELLING: "The bot reads the job in Atlas.",
    EventName.CANCEL_SENT: "The DELETE is being sent.",
    EventName.CANCEL_ANSWERED: "Atlas answered the DELETE:",
}
NO_ANSWER = "nothing in time"
TRIES_ON = "The bot tries again until the download is over."
NOT_SHOWN = "The steps cannot be shown"
GOES_ON = "The cancellation goes on."
_STATES = {EventName.entering(state): str(state) for state in State}
_STATES[EventName.ACTED_ALONE] = str(State.APPROVED)
_ENDS = {EventName.entering(state) for state in State if state.has_ended}


@dataclass(slots=True)
class Steps:
    """The lines that one call of the command writes."""

    form: OutputFormat
    fields: dict[str, Any] = field(default_factory=dict)  #: those of `list`, of the download
    _shown: int = field(default=0, init=False)  #: events that were shown
    _state: str = field(default="", init=False)  #: of the request after the last shown event
    _trouble: str = field(default="", init=False)
    _is_silent: bool = field(default=False, init=False)  #: whether the output has failed

    def say(
        self,
        sentence: str,
        request: Request | None = None,
        event: str | None = None,
        at: str | None = None,
    ) -> None:
        """Show one step; an output that fails stops the lines, and not the cancellation."""
        if self._is_silent:
            return
        try:
            self._print(sentence, request, event, at)
        except OSError as error:
            self._is_silent = True
            output.discard(sys.stdout)
            with suppress(OSError):
                typer.echo(f"{NOT_SHOWN} ({error.strerror or error}). {GOES_ON}", err=True)

    def _print(
        self, sentence: str, request: Request | None, event: str | None, at: str | None
    ) -> None:
        at = at or datetime.now(UTC).isoformat(timespec="milliseconds")
        if self.form is OutputFormat.TABLE:
            typer.echo(f"{at[11:19]}  {printable(sentence)}")
            return
        step = {
            "at": at,
            "event": event,
            "state": self._state or (str(request.state) if request else self.fields.get("state")),
            "request": request.id if request else None,
            "sentence": sentence,
        }
        output.write_json({**self.fields, **step}, sys.stdout)

    def show(self, request: Request, events: Sequence[Mapping[str, Any]]) -> None:
        """Show the events of a request that were not shown yet, and what it waits for."""
        for line in events[self._shown :]:
            self._shown += 1
            event = EventName(line["event"])
            self._state = _STATES.get(event) or str(line.get("state") or self._state)
            if event in SENTENCES:
                self.say(_sentence(event, line), request, event, str(line["at"]))
        if request.trouble and request.trouble != self._trouble:
            self.say(f"{request.trouble} {TRIES_ON}", request)
        self._trouble = request.trouble

    def show_end(
        self, request: Request, sentence: str, events: Sequence[Mapping[str, Any]]
    ) -> None:
        """Show how a request ended, with the event that ended it."""
        line = next((line for line in reversed(events) if line["event"] in _ENDS), None)
        event, at = (str(line["event"]), str(line["at"])) if line else (None, None)
        self.say(sentence, request, event, at)


def ending(facts: Facts) -> str:
    """Return how a download, or the decision about it, ended, and what to do."""
    download = facts.download
    lines = [headline(facts, download.read_at), *story(facts)[-1:]]
    if download.ended:
        lines.append(link_line(download.link(download.read_at)))
    return sentences(*map(terminal, lines))


def sentences(*texts: str) -> str:
    """Join texts as sentences, each with one period."""
    return " ".join(f"{text.rstrip('.')}." for text in texts)


def terminal(text: Text) -> str:
    """Render a text without the emoji that Slack draws."""
    return plain(text).replace(":rotating_light: ", "")


def _sentence(event: EventName, line: Mapping[str, Any]) -> str:
    if event is not EventName.CANCEL_ANSWERED:
        return SENTENCES[event]
    answer = " ".join(str(line[key]) for key in ("status", "code") if line.get(key))
    return f"{SENTENCES[event]} {answer or NO_ANSWER}."
