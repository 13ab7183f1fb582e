"""Hypothesis strategies for typed texts, and for mutated JSON of programs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    Step = str | int
    Path = tuple[Step, ...]

#: Text that is known to break programs: directions, zero widths, truncated sequences.
ODD_TEXTS = (
    "",
    " ",
    "\x00",
    "\r\n\t\v\f",
    "\u202eSDRAWKCAB\u202c",
    "\u200b\u200d\ufeff",
    "e\u0301\u0301\u0301\u0301",
    "\U0001f469\u200d\U0001f4bb",
    "ﷺ" * 20,
    "<!channel>",
    "<@U0RINA|rina>",
    "<https://x|",
    "&lt;&amp;&#0;&#x110000;",
    "'\"`“”«»",
    "%00%ff%",
    "{{7*7}}${7*7}",
    "../../etc/passwd",
    "0" * 24,
    "١٢٣",
    "²",
    "1e309",
    "9" * 5000,
    "a" * 3001,
    "list " * 2000,
)
PROJECT = "5b6212af90dc76637950a2c6"
WORDS = (
    *("list", "history", "help", "prod-eu", "shop-prod", "no-such", "65f0a1c2d3e4f5a6b7c80101"),
    *(PROJECT, "5b622f9287d9d6039aa3fd87", "--help", "?", "/", "10", "-1", "0", "prod-eu/"),
    *("https://cloud.mongodb.com/v2/", "http://[", "https://user:pw@x:99999/#clusters/detail/a"),
    f"https://cloud.mongodb.com/api/atlas/v2/groups/{PROJECT}/clusters/prod-eu/backup/restoreJobs/",
    "<https://cloud.mongodb.com/v2/x#clusters/a|here>",
)

# Half a surrogate pair is no text that UTF-8 could carry to the bot.
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
pieces = st.one_of(st.sampled_from(WORDS), st.sampled_from(ODD_TEXTS), anything)


@st.composite
def typed(draw: st.DrawFn) -> str:
    """A text after the command: words of the grammar, nonsense, and separators."""
    parts = draw(st.lists(pieces, max_size=5))
    joint = draw(st.sampled_from([" ", "", "/", "  ", "\u00a0", "\n", "|", "#"]))
    quoted = draw(st.sampled_from(["{}", "{}", "'{}'", "“{}”", "<{}>", "`{}`", " {} "]))
    return quoted.replace("{}", joint.join(parts))


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 10**40, 2**63, -(2**63), 0.1, 1e308]),
    st.sampled_from(ODD_TEXTS),
    anything,
)
odd_values = st.one_of(
    scalars,
    st.sampled_from([[], {}, [[]], [None], [{}], {"": {}}, {"id": None}, ["a", 1], {"type": []}]),
    st.lists(scalars, max_size=3),
    st.dictionaries(anything, scalars, max_size=3),
)


def paths(value: object, at: Path = ()) -> Iterator[Path]:
    """Go through every place in a piece of JSON, outermost first."""
    yield at
    inside: Iterator[tuple[Step, object]] = iter(())
    if isinstance(value, dict):
        inside = iter(value.items())
    elif isinstance(value, list):
        inside = iter(enumerate(value))
    for step, part in inside:
        yield from paths(part, (*at, step))


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change to a piece of JSON, at the place that `where` selects in it."""

    where: int
    kind: str
    name: str
    what: Any


MUTATION_KINDS = ("drop", "replace", "replace", "wrap", "wrap as id", "extra", "double", "say")

#: Changes to a piece of JSON. Drawn independently of it, since the bot's payloads change as the
#: bot goes on, and hypothesis needs draws that depend on nothing else.
mutations = st.lists(
    st.builds(
        Mutation, st.integers(0, 1000), st.sampled_from(MUTATION_KINDS), anything, odd_values
    ),
    min_size=1,
    max_size=3,
)


def mutated(whole: dict[str, Any], recipe: Iterable[Mutation], kept: Collection[str] = ()) -> Any:
    """Return a mutated copy of `whole`; the values of the keys `kept` stay."""
    value = copy.deepcopy(whole)
    for mutation in recipe:
        places = [path for path in paths(value) if path and path[0] not in kept]
        if places:
            _mutate(value, places[mutation.where % len(places)], mutation)
    return value


def _mutate(whole: Any, path: Path, mutation: Mutation) -> None:
    *before, last = path
    parent = whole
    for step in before:
        parent = parent[step]
    match mutation.kind:
        case "drop":
            del parent[last]
        case "replace":
            parent[last] = copy.deepcopy(mutation.what)
        case "wrap":
            parent[last] = [parent[last]]
        case "wrap as id":
            parent[last] = {"id": parent[last]}
        case "extra" if isinstance(parent, dict):
            parent[mutation.name] = copy.deepcopy(mutation.what)
        case _ if isinstance(parent, list) and isinstance(last, int):
            parent.append(copy.deepcopy(parent[last]))
        case _:
            parent[last] = str(parent[last])
