"""Parses the text after the slash command (pure; never raises)."""

import difflib
import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from bot.atlas import is_cluster_name, is_object_id

MAX_LENGTH = 3000
LIST_FORM = "CLUSTER"
JOB_FORM = "CLUSTER JOB_ID"
EXAMPLES = {LIST_FORM: "prod-eu", JOB_FORM: "prod-eu 5b622f7087d9d6039fafe03f"}


@dataclass(frozen=True, slots=True)
class Invalid:
    """Any other text: what was wrong, the nearest form, and an example of it."""

    problem: str
    form: str = JOB_FORM
    example: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "example", self.example or EXAMPLES.get(self.form, self.form))


@dataclass(frozen=True, slots=True)
class ShowList:
    """List the downloads that run, of one cluster or of all."""

    cluster: str | None = None
    hint: Invalid | None = None  #: what the person perhaps meant


@dataclass(frozen=True, slots=True)
class ShowJob:
    """Open the dialog of a job; what is not given is searched."""

    job_id: str
    cluster: str | None = None
    project: str | None = None  #: a name or an id


@dataclass(frozen=True, slots=True)
class Help:
    """Show the help."""


Command: TypeAlias = ShowList | ShowJob | Help | Invalid

_LIST = "list"
KEYWORDS = (_LIST, "help")
_HELP = frozenset({"help", "?", "-h", "--help"})
#: Verbs that people type in a hurry. What follows one is read as without it: a job's id finds the
#: same download in a cluster or a project of that name.
_VERBS = frozenset({"cancel", "stop", "abort", "kill", "delete", "show", "open"})
#: Typographic characters that phones and web pages substitute, and the plain ones.
_PLAIN = str.maketrans(
    dict.fromkeys("‐‑‒–−", "-") | {"—": "--"} | dict.fromkeys("“”„‟«»‘’‚‛`", "'")
)
_QUOTES = "'\""
_LINK = re.compile(r"<((?:https?|slack)://[^|>\s]+)(?:\|[^>]*)?>")
_MENTION = re.compile(r"<[@#!][^|>]*\|([^>]*)>")
#: Segments of the path of Atlas's pages between `clusters` and the cluster's name.
_BEFORE_NAME = ("detail", "backup", "edit", "restore", "snapshots", "connect")
_ALMOST_ID = re.compile(r"(?=.*\d)[0-9a-fA-F]{16,40}")
_SHOWN = 60  #: characters of what was typed in an answer


def parse(text: str) -> Command:
    """Return what a text asks for."""
    if len(text) > MAX_LENGTH:
        return Invalid(f"That is {len(text)} characters long, more than any command.")
    words = normalise(text).split() or [_LIST]
    if url := next((word for word in words if re.match(r"https?://", word, re.IGNORECASE)), None):
        return _from_url(url, words)
    first, *rest = words
    if first.lower() in _HELP:
        return Help()
    if first.lower() == _LIST:
        return _list(rest)
    if first.lower() in _VERBS:
        return _after_verb(first, rest)
    return _from_words(words)


def normalise(text: str) -> str:
    """Undo typographic substitution, Slack's link and mention markup, and HTML escapes."""
    text = _MENTION.sub(r"\1", _LINK.sub(r" \1 ", text))
    text = html.unescape(text).translate(_PLAIN)
    words = "".join(map(_printable, text)).split()
    return " ".join(filter(None, (word.strip(_QUOTES) for word in words)))


def _printable(character: str) -> str:
    """Drop format characters; turn control characters and separators into spaces."""
    category = unicodedata.category(character)
    if category == "Cf":  # zero-width and direction marks
        return ""
    return " " if category[0] in "CZ" else character


def _list(words: Sequence[str]) -> Command:
    """Return the list of all downloads, or of the cluster that is named."""
    if not words:
        return ShowList()
    is_cluster = len(words) == 1 and is_cluster_name(words[0]) and not is_object_id(words[0])
    return ShowList(words[0]) if is_cluster else _from_words(words)


def _after_verb(verb: str, words: Sequence[str]) -> Command:
    """Return what the words without the verb ask for; a list says that the verb is not needed."""
    command = _from_words(words) if words else ShowList()
    if not isinstance(command, ShowList):
        return command
    return ShowList(
        command.cluster, Invalid(f"Leave {_quoted(verb)} out: the command is the verb.")
    )


def _from_words(words: Sequence[str]) -> Command:
    *before, last = words
    if is_object_id(last):
        return _job(before, last.lower())
    if job_id := next((word for word in words if is_object_id(word)), None):
        others = [word for word in words if word != job_id]
        example = _short(" ".join([*others[:2], job_id.lower()]))
        return Invalid("The job's id comes last, after its cluster.", example=example)
    if almost := next((word for word in words if _ALMOST_ID.fullmatch(word)), None):
        count = len(almost)
        return Invalid(f"{_quoted(almost)} is not a job's id: it has {count} characters, not 24.")
    if before:
        what = _quoted(" ".join(words))
        return Invalid(f"{what} names no download: after a cluster comes a job's id.")
    if not is_cluster_name(last):
        return _not_a_cluster(last)
    slips = difflib.get_close_matches(last.lower(), KEYWORDS, 1, 0.75)
    return ShowList(
        last, Invalid(f"Did you mean {_quoted(slips[0])}?", slips[0]) if slips else None
    )


def _job(before: Sequence[str], job_id: str) -> Command:
    """Return the job after `CLUSTER`, `PROJECT CLUSTER` or nothing; a project may have spaces."""
    if not before:
        return ShowJob(job_id)
    *project, cluster = before
    if not is_cluster_name(cluster):
        return _not_a_cluster(cluster, job_id)
    return ShowJob(job_id, cluster, " ".join(project) or None)


def _from_url(url: str, words: Sequence[str]) -> Command:
    """Return the job or the cluster that a link to Atlas or its API names."""
    try:
        parsed = urlsplit(url)
    except ValueError:  # for example an unclosed bracket
        return Invalid("That link cannot be read.")
    path = f"{parsed.path}/{parsed.fragment}"
    parts = [unquote(part).lstrip("#") for part in path.split("/") if part]
    project = _id_after(parts, "groups") or _id_after(parts, "v2")
    cluster = _cluster_of(parts)
    loose = (word.lower() for word in words if is_object_id(word))
    job_id = _id_after(parts, "restoreJobs") or _id_after(parts, "restores") or next(loose, None)
    if job_id:
        return ShowJob(job_id, cluster, project if cluster else None)
    return ShowList(cluster) if cluster else Invalid("That link names no download of Atlas.")


def _cluster_of(parts: Sequence[str]) -> str | None:
    """Return the name after `clusters`; in Atlas's pages a page's name stands between."""
    after = _after(parts, "clusters")
    has_page = "api" not in parts and len(after) > 1 and after[0].lower() in _BEFORE_NAME
    name = after[1] if has_page and is_cluster_name(after[1]) else next(iter(after), "")
    is_name = is_cluster_name(name) and not is_object_id(name)
    return name if is_name else None


def _after(parts: Sequence[str], word: str) -> Sequence[str]:
    lowered = [part.lower() for part in parts]
    return parts[lowered.index(word.lower()) + 1 :] if word.lower() in lowered else ()


def _id_after(parts: Sequence[str], word: str) -> str | None:
    following = next(iter(_after(parts, word)), "").lower()
    return following if is_object_id(following) else None


def _not_a_cluster(word: str, job_id: str = "") -> Invalid:
    # A valid name: hyphens in place of every other character.
    guess = re.sub(r"[^A-Za-z0-9]+", "-", word).strip("-")
    example = f"{guess} {job_id}".strip() if is_cluster_name(guess) else ""
    problem = f"{_quoted(word)} is not a cluster's name: one has letters, digits and hyphens only."
    return Invalid(problem, JOB_FORM if job_id else LIST_FORM, example)


def _quoted(word: str) -> str:
    return f"“{_short(word)}”"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
