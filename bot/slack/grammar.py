"""Parses the text after the slash command, and the values of job buttons (pure; never raises)."""

import difflib
import html
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from bot.atlas import InvalidName, JobRef, is_cluster_name, is_object_id
from bot.log_config import is_request_id
from bot.slack.blockkit import cut
from bot.slack.deployment import EXAMPLE, command

REQUEST_ID = "it has 32 characters 0-9 or a-f, and stands on the request's card."
MAX_LENGTH = 3000
DEFAULT_HISTORY = 10
MAX_HISTORY = 50


@dataclass(frozen=True, slots=True)
class OpenDialog:
    """Open the dialog of a job; without its id the pickers, and without its cluster a search.

    The project is optional if the bot knows only one.
    """

    project: str | None = None
    cluster: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class ShowList:
    """List the jobs that can be cancelled, of one cluster or of all."""

    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class ShowHistory:
    """List the last `count` requests."""

    count: int = DEFAULT_HISTORY


@dataclass(frozen=True, slots=True)
class Decide:
    """Decide about a request; `reason` is for `deny` and `keep`."""

    verb: str
    request_id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Help:
    """Show the help."""


@dataclass(frozen=True, slots=True)
class InvalidCommand:
    """Explain what is wrong with any other text (plain text), and suggest a valid command."""

    problem: str
    suggestion: str | None = None
    example: str = EXAMPLE


Command: TypeAlias = OpenDialog | ShowList | ShowHistory | Decide | Help | InvalidCommand

#: The decisions about a person's request, and about the bot's own: a download in quarantine.
DECISIONS = ("approve", "deny", "withdraw")
QUARANTINE_DECISIONS = ("keep", "cancel")
WITH_REASON = frozenset({"deny", "keep"})
KEYWORDS = ("help", "list", "history", "keep", *DECISIONS)
#: Verbs that people type before a job; the command itself is the verb.
VERBS = frozenset({"cancel", "stop", "abort", "kill", "delete"})

#: Typographic characters that phones and web pages substitute, and the plain ones.
_PLAIN = str.maketrans(
    dict.fromkeys("‐‑‒–−", "-") | {"—": "--"} | dict.fromkeys("“”„‟«»‘’‚‛`", "'")
)
_shorten = partial(cut, limit=60)
_QUOTES = "'\""
_LINK = re.compile(r"<((?:https?|slack)://[^|>\s]+)(?:\|[^>]*)?>")
_MENTION = re.compile(r"<[@#!][^|>]*\|([^>]*)>")
_BARE_MENTION = re.compile(r"<[@#!]([^|>]*)>")
#: Path segments between `clusters` and the cluster's name in Atlas's web interface.
_PAGES = frozenset(
    {"detail", "backup", "edit", "restore", "snapshots", "metrics", "overview", "connect"}
)
_ALMOST_OBJECT_ID = re.compile(r"(?=.*\d)[0-9a-fA-F]{16,40}")
_LIKE_REQUEST_ID = re.compile(r"[0-9a-fA-F]{25,40}")


def parse(text: str) -> Command:
    if len(text) > MAX_LENGTH:
        return InvalidCommand(f"That is {len(text)} characters long, more than any command.")
    words = normalise(text).split()
    if not words:
        return OpenDialog()
    if url := next(filter(None, map(parse_url, words)), None):
        return _from_url(url, words)
    return _from_keyword(words) or _from_names(words)


def job_value(ref: JobRef) -> str:
    """Encode the value of a button or an option for a job: what a person would type.

    It holds the project's id, because its name may change.
    """
    return f"{ref.project_id} {ref.cluster_name} {ref.job_id}"


def parse_job_value(value: str) -> JobRef | None:
    """Decode what `job_value` encoded; None for any other text."""
    match value.split():
        case [project, cluster, job]:
            with suppress(InvalidName):
                return JobRef(project, cluster, job)
    return None


def normalise(text: str) -> str:
    """Undo typographic substitution, Slack's link and mention markup, and HTML escapes."""
    text = _LINK.sub(r" \1 ", text)
    text = _BARE_MENTION.sub(r"\1", _MENTION.sub(r"\1", text))
    text = html.unescape(text).translate(_PLAIN)
    printable = (_printable(character) for character in text)
    words = (word.strip(_QUOTES) for word in "".join(printable).split())
    return " ".join(word for word in words if word)


def _printable(character: str) -> str:
    """Drop format characters; turn control characters and separators into spaces."""
    category = unicodedata.category(character)
    if category == "Cf":  # zero-width and direction marks
        return ""
    return " " if category[0] in "CZ" else character


def parse_url(word: str) -> OpenDialog | None:
    """Parse a URL of Atlas's web interface or API, on any host; None if `word` is not a URL.

    The cluster's name is not validated.
    """
    if not re.match(r"https?://", word, re.IGNORECASE):
        return None
    try:
        url = urlsplit(word)
    except ValueError:  # for example an unclosed bracket
        return OpenDialog()
    parts = [unquote(part).lstrip("#") for part in f"{url.path}/{url.fragment}".split("/") if part]
    names = (part for part in _after(parts, "clusters") if part.lower() not in _PAGES)
    return OpenDialog(
        project=_id_after(parts, "groups") or _id_after(parts, "v2"),
        cluster=next(names, None),
        job_id=_id_after(parts, "restoreJobs") or _id_after(parts, "restores"),
    )


def _after(parts: Sequence[str], word: str) -> Sequence[str]:
    lowered = [part.lower() for part in parts]
    return parts[lowered.index(word.lower()) + 1 :] if word.lower() in lowered else ()


def _id_after(parts: Sequence[str], word: str) -> str | None:
    following = next(iter(_after(parts, word)), "").lower()
    return following if is_object_id(following) else None


def _from_url(url: OpenDialog, words: Sequence[str]) -> Command:
    loose = (word.lower() for word in words if is_object_id(word.lower()))
    job_id = url.job_id or next(loose, None)
    if url.cluster and not is_cluster_name(url.cluster):
        return _not_a_cluster(url.cluster)
    if job_id and not url.cluster:
        return OpenDialog(job_id=job_id)
    if url.cluster or url.project:
        return replace(url, job_id=job_id)
    return InvalidCommand("That link names no project, cluster or job of Atlas.")


def _from_keyword(words: Sequence[str]) -> Command | None:
    keyword, *rest = words
    match keyword.lower(), rest:
        case (("help" | "?" | "-h" | "--help"), _):
            return Help()
        case verb, _ if _is_decision(verb, rest):
            return _decision(verb, rest)
        case "list", ([] | [_]):
            valid = not rest or is_cluster_name(rest[0])
            return ShowList(*rest) if valid else _not_a_cluster(rest[0])
        case "history", ([] | [_]):
            return _history(*rest)
        case ("list" | "history") as word, _ if not is_object_id(rest[-1].lower()):
            return InvalidCommand(f"There is too much after “{word}”.", suggestion=word)
    return None


def _is_decision(verb: str, rest: Sequence[str]) -> bool:
    """Whether the words decide about a request; `cancel` also stands before jobs and clusters."""
    if verb == "cancel" and rest:
        return bool(_LIKE_REQUEST_ID.fullmatch(rest[0]))
    return verb in (*DECISIONS, *QUARANTINE_DECISIONS)


def _decision(verb: str, words: Sequence[str]) -> Command:
    request_id, *rest = words or [""]
    if not is_request_id(request_id.lower()):
        given = f"“{_shorten(request_id)}” is not a request's id" if words else "The id is missing"
        reason = " REASON" if verb in WITH_REASON else ""
        return InvalidCommand(f"{given}: {REQUEST_ID}", example=f"{verb} REQUEST{reason}")
    decision = Decide(verb, request_id.lower(), " ".join(rest))
    if rest and verb not in WITH_REASON:
        example = f"{verb} {decision.request_id}"
        return InvalidCommand("There is too much after the id.", example=example)
    return decision


def _history(count: str = str(DEFAULT_HISTORY)) -> Command:
    number = int(count) if re.fullmatch("[0-9]{1,4}", count) else 0
    if number:
        return ShowHistory(min(number, MAX_HISTORY))
    why = f"“{_shorten(count)}” is not a number of requests from 1 to {MAX_HISTORY}."
    return InvalidCommand(why, suggestion=f"history {DEFAULT_HISTORY}")


def _from_names(words: Sequence[str]) -> Command:
    *before, last = words
    if is_object_id(last.lower()):
        return _job_of(before, last)
    if problem := _why_not_names(words):
        return problem
    project, cluster = _split_project(words)
    return OpenDialog(project, cluster) if is_cluster_name(cluster) else _not_a_cluster(last)


def _job_of(before: Sequence[str], last: str) -> Command:
    if not before:
        return OpenDialog(job_id=last.lower())
    if before[0].lower() in VERBS | {command()}:
        return _needless(before[0], [*before[1:], last])
    project, cluster = _split_project(before)
    if is_cluster_name(cluster):
        return OpenDialog(project, cluster, last.lower())
    # A valid name: hyphens in place of every other character.
    guess = re.sub(r"[^A-Za-z0-9]+", "-", cluster).strip("-")
    suggestion = f"{guess} {last.lower()}" if is_cluster_name(guess) else None
    return replace(_not_a_cluster(cluster), suggestion=suggestion)


def _needless(verb: str, rest: Sequence[str]) -> InvalidCommand:
    return InvalidCommand(f"Leave “{verb}” out: the command implies it.", " ".join(rest))


def _why_not_names(words: Sequence[str]) -> InvalidCommand | None:
    """Return why words, the last of which is no job's id, name neither project nor cluster."""
    first, *rest = words
    if job_id := next((word for word in words if is_object_id(word.lower())), None):
        return _not_last(job_id, words)
    if request_id := next((word for word in words if is_request_id(word.lower())), None):
        verb = _closest(first, (*DECISIONS, *QUARANTINE_DECISIONS))
        return InvalidCommand(
            "That is a request's id: put approve, deny or withdraw before it, or for a download in "
            "quarantine keep or cancel.",
            example=f"{verb or 'approve'} {request_id.lower()}",
        )
    if almost_id := next((word for word in words if _ALMOST_OBJECT_ID.fullmatch(word)), None):
        return InvalidCommand(
            f"“{_shorten(almost_id)}” is not a job's id: it has {len(almost_id)} "
            "characters, and an id has 24, each 0-9 or a-f."
        )
    if rest and first.lower() in VERBS:
        return _needless(first, rest)
    if rest:
        return InvalidCommand(
            f"“{_shorten(' '.join(words))}” names no download: after a cluster comes a job's id, "
            "24 characters 0-9 or a-f.",
            suggestion=closest_keyword(first),
        )
    return None


def _not_last(job_id: str, words: Sequence[str]) -> InvalidCommand:
    first, *rest = words
    if job_id == first:
        reordered = _shorten(f"{' '.join(rest)} {first.lower()}")
        return InvalidCommand("The job's id comes last, after its cluster.", reordered)
    named = " ".join(words[: words.index(job_id) + 1])
    return InvalidCommand("Leave out what follows the job's id.", _shorten(named))


def _split_project(words: Sequence[str]) -> tuple[str | None, str]:
    """Split `CLUSTER`, `PROJECT CLUSTER` or `PROJECT/CLUSTER`; project names may contain spaces."""
    joined = " ".join(words)
    separator = "/" if "/" in joined else " "
    project, _, cluster = joined.rpartition(separator)
    outside = _QUOTES + " "
    return project.strip(outside) or None, cluster.strip(outside)


def _not_a_cluster(word: str) -> InvalidCommand:
    if not word:
        return InvalidCommand("The cluster's name is missing.")
    return InvalidCommand(
        f"“{_shorten(word)}” is not a cluster's name: one has letters, digits and hyphens only, "
        "and begins with a letter or a digit.",
        suggestion=closest_keyword(word),
    )


def closest_keyword(word: str) -> str | None:
    return _closest(word, KEYWORDS)


def _closest(word: str, words: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(_shorten(word).lower(), words, 1, 0.7)), None)
