"""Only the security core can send a DELETE, or act for a person: read from the syntax trees."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.domain import ADA
from tests.support.syntax import imports_of, modules, name_of, tree_of

#: The modules that may name each of these.
MAY_NAME = {
    "AtlasHttp": {"bot.atlas", "bot.atlas.reader", "bot.wiring"},
    "AtlasCanceller": {"bot.atlas", "bot.services.runner", "bot.wiring"},
    "cancel_restore_job": {"bot.services.runner"},
    "canceller_of": {"bot.services.runner", "bot.wiring"},
    # The metrics have it as a label.
    "'DELETE'": {"bot.atlas.http", "bot.web.metrics"},
}
CANCELLER = "bot.atlas.canceller"
#: The modules that make the person who acts, from a payload of Slack or from the system's user,
#: and the one that reads who sent a payload.
MAY_MAKE = {
    "ActingPerson": {"bot.slack.directory", "bot.cli.jobs"},
    "Actor": {"bot.slack.payloads"},
}
#: The module that writes requests and approvals, and the stores that may import it.
WRITER = "bot.storage.request_writer"
MAY_WRITE = {
    f"bot.storage.{name}"
    for name in ("unit_of_work", "request_store", "lease_store", "quarantine_store")
}
#: The stores that change the state of a request, each in the transaction that decides it.
MAY_TRANSITION = {
    f"bot.storage.{name}" for name in ("request_store", "lease_store", "quarantine_store")
}
TABLES = {"requests", "approvals"}
RAW_WRITE = re.compile(
    r"\b(INSERT INTO|UPDATE|DELETE FROM)\s+(requests|approvals)\b", re.IGNORECASE
)
#: What could make a person of that type without its constructor.
DETOURS = {"cast", "__new__", "__class__", "__setattr__", "TypeAdapter"}
#: The fake servers import nothing of the bot; the demo starts the bot as a process.
NOT_THE_BOT = ("bot.sandbox", "bot.demo")


def names_in(tree: ast.Module) -> Iterator[str]:
    """Yield every name, attribute, imported name and text constant."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name
            case ast.Constant(value=str(text)):
                yield repr(text)
                yield text  # as for `getattr`


def test_only_the_runner_and_the_wiring_reach_what_sends_a_delete() -> None:
    found: dict[str, set[str]] = {name: set() for name in MAY_NAME}
    for path in modules():
        module = name_of(path)
        if module != CANCELLER and not module.startswith(NOT_THE_BOT):
            for name in found.keys() & set(names_in(tree_of(path))):
                found[name].add(module)

    assert found == MAY_NAME


def test_a_name_in_a_text_is_found() -> None:
    tree = ast.parse("def f(x):\n    return getattr(x, 'cancel_restore_job')('DELETE')\n")

    assert {"cancel_restore_job", "'DELETE'"} <= set(names_in(tree))


def makes(tree: ast.Module, kind: str) -> bool:
    """Whether a module uses the type for more than annotations, or could come by it otherwise."""
    called = {name for node in ast.walk(tree) for name in called_in(node)}
    return kind in called or (kind in names_in(tree) and DETOURS & called != set())


def called_in(node: ast.AST) -> Iterator[str]:
    """Yield the name of what a node calls, and the names in its arguments' types."""
    match node:
        case ast.Call(func=ast.Name(id="replace"), args=[ast.Name() | ast.Attribute() as it, *_]):
            if ast.unparse(it).endswith("actor"):
                yield "Actor"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            yield name
        case ast.Attribute(value=ast.Name(id="ActingPerson" | "Actor" as name)):
            yield name


@pytest.mark.parametrize("kind", MAY_MAKE)
def test_only_these_modules_make_the_person_who_acts(kind: str) -> None:
    found = {name_of(path) for path in modules() if makes(tree_of(path), kind)}

    assert {each for each in found if not each.startswith(NOT_THE_BOT)} == MAY_MAKE[kind]


@pytest.mark.parametrize(
    "text", ["ActingPerson(x)", "cast('ActingPerson', x)", "ActingPerson.__new__(ActingPerson)"]
)
def test_a_person_made_by_a_detour_is_found(text: str) -> None:
    assert makes(ast.parse(text), "ActingPerson")


def test_the_person_who_acts_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        replace(ADA, id="U0EVE")


def writes_requests(tree: ast.Module) -> bool:
    """Whether a module builds a statement that writes requests or approvals."""
    return any(writes_in(node) for node in ast.walk(tree))


def writes_in(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="insert" | "update" | "delete" | "map"), args=arguments):
            names = {
                each.id for top in arguments for each in ast.walk(top) if isinstance(each, ast.Name)
            }
            return not TABLES.isdisjoint(names)
        case ast.Attribute(value=ast.Name(id=table), attr="insert" | "update" | "delete"):
            return table in TABLES
        case ast.Constant(value=str(sql)):
            return bool(RAW_WRITE.search(sql))
    return False


def test_one_module_writes_requests_and_its_importers_are_the_stores() -> None:
    writers = {name_of(path) for path in modules() if writes_requests(tree_of(path))}
    importers = {name_of(path) for path in modules() if WRITER in imports_of(path)}

    assert (writers, importers) == ({WRITER}, MAY_WRITE)


def changes_states(tree: ast.Module) -> bool:
    """Whether a module changes the state of a request."""
    return "transition" in {name for node in ast.walk(tree) for name in called_in(node)}


def test_only_these_stores_change_the_state_of_a_request() -> None:
    found = {name_of(path) for path in modules() if changes_states(tree_of(path))}

    assert found == MAY_TRANSITION


@pytest.mark.parametrize(
    "text",
    [
        "update(requests).values(x=1)",
        "map(insert, (posts, approvals))",
        "requests.delete()",
        "text('UPDATE requests SET state = 1')",
    ],
)
def test_a_statement_that_writes_requests_is_found(text: str) -> None:
    assert writes_requests(ast.parse(text))


#: What the core may import beside itself.
VALUES_AND_ERRORS = {
    *(
        "bot.atlas",
        "bot.cancellation",
        "bot.atlas.errors",
        "bot.atlas.models",
        "bot.atlas.protocol",
    ),
    *(
        f"bot.cancellation.{name}"
        for name in ("cluster_entries", "errors", "events", "job", "posts")
    ),
    *("bot.settings", "bot.slack.errors", "bot.timings"),
}
#: Queries, messages and rates of calls: what they get wrong delays or hides, and changes nothing.
DATABASE = {"bot.storage", "bot.storage.database", "bot.storage.tables", "bot.storage.queries"}
DATABASE |= {"bot.storage.posts", "bot.storage.job_store", "bot.storage.event_store"}
READS = {"bot.services.jobs", "bot.services.rate_limit"}
TECHNIQUE = {"bot.atlas.http", "bot.slack.client", "bot.slack.receivers.payloads"}
TECHNIQUE |= {"bot.tasks", "bot.log_config"}
TECHNIQUE |= {"bot.slack.manifest"}
#: Lines of the core; lower it with each step that makes the core smaller. The goal is 4,000.
MOST_LINES = 4623


def core_of(page: str) -> set[str]:
    """Return the modules of the table in the page about the architecture."""
    table = page[page.index("## The security core") : page.index("## Other paths")]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    paths = re.findall(r"`([\w/]+)\.py`", " ".join(cells))
    return {"bot." + path.replace("/", ".") for path in paths}


def test_core_imports_only_itself_and_what_is_named_and_stays_small() -> None:
    core = core_of(Path("docs/architecture.md").read_text(encoding="utf-8"))
    paths = {name_of(path): path for path in modules()}
    allowed = core | VALUES_AND_ERRORS | DATABASE | READS | TECHNIQUE
    strangers = {
        (module, name)
        for module in core
        for name in imports_of(paths[module])
        if name.startswith("bot.") and name not in allowed
    }

    assert strangers == set()
    assert sum(len(paths[each].read_text("utf-8").splitlines()) for each in core) <= MOST_LINES


def test_core_has_all_that_reaches_a_delete_an_approval_or_a_request() -> None:
    core = core_of(Path("docs/architecture.md").read_text(encoding="utf-8"))
    reach = set[str]().union(*MAY_NAME.values()) | MAY_WRITE | MAY_TRANSITION
    reach |= set[str]().union(*MAY_MAKE.values())
    reach |= {WRITER, CANCELLER}
    # Their part in it is held by the tests above.
    known = {"bot.atlas", "bot.atlas.http", "bot.atlas.reader", "bot.wiring", "bot.web.metrics"}
    known |= {"bot.cli.jobs"}

    assert reach - known <= core
