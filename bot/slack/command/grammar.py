"""The grammar of what people type after /cancel-restore (pure; it never raises)."""

from __future__ import annotations

import difflib
import html
import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from bot.atlas import is_cluster_name, is_object_id
from bot.slack.command.urls import Named, read_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXAMPLE = "prod-eu 5b622f9287d9d6039aa3fd87"
LONGEST = 3000
HISTORY = 10
MOST_HISTORY = 50


@dataclass(frozen=True, slots=True)
class OpenJob:
    """One job is named: its dialog. The project may be left out where there is one only."""

    project: str | None
    cluster: str
    job_id: str


@dataclass(frozen=True, slots=True)
class OpenPicker:
    """No job is named: a dialog to pick one."""

    project: str | None = None
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class FindJob:
    """A job without its cluster."""

    job_id: str


@dataclass(frozen=True, slots=True)
class ShowList:
    """The jobs that can still be cancelled, of one cluster or of all."""

    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class ShowHistory:
    """The last `count` requests."""

    count: int = HISTORY


@dataclass(frozen=True, slots=True)
class Help:
    """What can be typed."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """Something else.

    Attributes:
        problem: what was wrong, in plain text; it may repeat what was typed.
        nearest: the command that was perhaps meant.
        example: one that works.
    """

    problem: str
    nearest: str | None = None
    example: str = EXAMPLE


Command: TypeAlias = OpenJob | OpenPicker | FindJob | ShowList | ShowHistory | Help | Unclear

KEYWORDS = ("help", "list", "history")

#: What people put before a job, though the command says it already.
VERBS = frozenset({"cancel", "stop", "abort", "kill", "delete", "/cancel-restore"})

#: What phones and web pages make of plain characters.
_PLAIN = str.maketrans(
    dict.fromkeys("‐‑‒–−", "-") | {"—": "--"} | dict.fromkeys("“”„‟«»‘’‚‛`", "'")
)
_QUOTES = "'\""
_LINK = re.compile(r"<((?:https?|slack)://[^|>\s]+)(?:\|[^>]*)?>")
_MENTION = re.compile(r"<[@#!][^|>]*\|([^>]*)>")
_NAMELESS = re.compile(r"<[@#!]([^|>]*)>")
_NEARLY_AN_ID = re.compile(r"(?=.*\d)[0-9a-fA-F]{16,40}")


def parse(text: str) -> Command:
    """Read what was typed after the command."""
    if len(text) > LONGEST:
        return Unclear(f"That is {len(text)} characters long, more than any command.")
    words = normalise(text).split()
    if not words:
        return OpenPicker()
    if named := next(filter(None, map(read_url, words)), None):
        return _from_url(named, words)
    return _from_keyword(words) or _from_names(words)


def normalise(text: str) -> str:
    """Undo what phones, Slack and copied pages do to a command."""
    text = _LINK.sub(r" \1 ", text)
    text = _NAMELESS.sub(r"\1", _MENTION.sub(r"\1", text))
    text = html.unescape(text).translate(_PLAIN)
    visible = (_visible(character) for character in text)
    words = (word.strip(_QUOTES) for word in "".join(visible).split())
    return " ".join(word for word in words if word)


def _visible(character: str) -> str:
    """Drop what takes no room; whatever else is no character becomes a space."""
    category = unicodedata.category(character)
    if category == "Cf":  # zero-width and direction marks
        return ""
    return " " if category[0] in "CZ" else character


def _from_url(named: Named, words: Sequence[str]) -> Command:
    loose = [word.lower() for word in words if is_object_id(word.lower())]
    job_id = named.job_id or next(iter(loose), None)
    if named.cluster and not is_cluster_name(named.cluster):
        return _no_cluster(named.cluster)
    if named.cluster and job_id:
        return OpenJob(named.project, named.cluster, job_id)
    if job_id:
        return FindJob(job_id)
    if named.cluster or named.project:
        return OpenPicker(named.project, named.cluster)
    return Unclear("That link names no project, cluster or restore job of Atlas.")


def _from_keyword(words: Sequence[str]) -> Command | None:
    keyword, *rest = words
    match keyword.lower(), rest:
        case (("help" | "?" | "-h" | "--help"), _):
            return Help()
        case "list", ([] | [_]):
            return _list(*rest)
        case "history", ([] | [_]):
            return _history(*rest)
        case ("list" | "history") as word, _ if not is_object_id(rest[-1].lower()):
            return Unclear(f"There is too much after “{word}”.", nearest=word)
    return None


def _list(cluster: str | None = None) -> Command:
    known = cluster is None or is_cluster_name(cluster)
    return ShowList(cluster) if known else _no_cluster(str(cluster))


def _history(count: str = str(HISTORY)) -> Command:
    if count.isascii() and count.isdigit() and len(count) <= len(str(LONGEST)) and int(count) > 0:
        return ShowHistory(min(int(count), MOST_HISTORY))
    why = f"“{_short(count)}” is not a number of requests from 1 to {MOST_HISTORY}."
    return Unclear(why, nearest=f"history {HISTORY}")


def _from_names(words: Sequence[str]) -> Command:
    *before, last = words
    if is_object_id(last.lower()):
        return _with_verb(words) or _job_of(before, last.lower())
    if before and is_object_id(words[0].lower()):
        return _swapped(words)
    if wrong := next((word for word in words if _NEARLY_AN_ID.fullmatch(word)), None):
        return _no_job_id(wrong)
    if before:
        return _too_many(words)
    return OpenPicker(*_place(words)) if is_cluster_name(_place(words)[1]) else _no_cluster(last)


def _job_of(before: Sequence[str], job_id: str) -> Command:
    if not before:
        return FindJob(job_id)
    project, cluster = _place(before)
    return (
        OpenJob(project, cluster, job_id) if is_cluster_name(cluster) else _mended(cluster, job_id)
    )


def _with_verb(words: Sequence[str]) -> Unclear | None:
    verb, *rest = words
    if verb.lower() not in VERBS:
        return None
    return Unclear(f"Leave “{verb}” out: the command says it already.", nearest=" ".join(rest))


def _place(words: Sequence[str]) -> tuple[str | None, str]:
    """Split `CLUSTER`, `PROJECT CLUSTER` or `PROJECT/CLUSTER`; a project's name may have spaces."""
    joined = " ".join(words)
    separator = "/" if "/" in joined else " "
    project, _, cluster = joined.rpartition(separator)
    return _unquoted(project) or None, _unquoted(cluster)


def _unquoted(text: str) -> str:
    return text.strip().strip(_QUOTES).strip()


def _swapped(words: Sequence[str]) -> Command:
    job_id, *rest = words
    return Unclear(
        "The job's id stands last, after its cluster.",
        nearest=_short(f"{' '.join(rest)} {job_id.lower()}"),
    )


def _no_job_id(word: str) -> Unclear:
    return Unclear(
        f"“{_short(word)}” is not a restore job's id: it has {len(word)} characters, "
        "and an id has 24, each 0-9 or a-f."
    )


def _no_cluster(word: str) -> Unclear:
    if not word:
        return Unclear("The cluster's name is missing.")
    return Unclear(
        f"“{_short(word)}” is not a cluster's name: one has letters, digits and hyphens only, "
        "and begins with a letter or a digit.",
        nearest=nearest(word),
    )


def _mended(cluster: str, job_id: str) -> Unclear:
    """Guess the name that was meant: hyphens where something else stands."""
    guess = re.sub(r"[^A-Za-z0-9]+", "-", cluster).strip("-")
    meant = f"{guess} {job_id}" if is_cluster_name(guess) else None
    return replace(_no_cluster(cluster), nearest=meant)


def _too_many(words: Sequence[str]) -> Unclear:
    return Unclear(
        f"“{_short(' '.join(words))}” is not a command: after a cluster comes a job's id, "
        "24 characters 0-9 or a-f.",
        nearest=nearest(words[0]),
    )


def nearest(word: str) -> str | None:
    """Return the keyword that was perhaps meant."""
    close = difflib.get_close_matches(_short(word).lower(), KEYWORDS, n=1, cutoff=0.7)
    return close[0] if close else None


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


#: For the help: what can be typed, and what it does.
FORMS: Mapping[str, str] = {
    "": "lets you pick a cluster and one of its restore jobs",
    "CLUSTER": "the same, with the cluster picked",
    "CLUSTER JOB_ID": "shows the restore job, and lets you cancel it",
    "PROJECT CLUSTER JOB_ID": "the same, where the bot knows several projects",
    "PROJECT/CLUSTER JOB_ID": "the same",
    "JOB_ID": "finds the cluster, then the same",
    "LINK": "the same, for the cluster or the job that a link to Atlas or its API names",
    "list [CLUSTER]": "lists what can be cancelled now",
    "history [N]": "lists the last requests",
    "help": "shows this",
}
