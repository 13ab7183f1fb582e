"""Only the security core sends a DELETE, acts for a person, or writes a request or an approval."""

import ast
from dataclasses import replace

import pytest

from tests.support.domain import ADA
from tests.tools.core_modules import core_modules
from tests.unit.detours import (
    ROWS,
    SOURCES,
    TABLES,
    Source,
    callables,
    changes_of_requests,
    imported_modules,
    makes_people,
    sets_of,
    writes,
)

CORE = core_modules()
#: The modules that may name each of these, definitions and texts for `getattr` included.
MAY_NAME = {
    "AtlasHttp": {"atlas", "atlas.canceller", "atlas.http", "atlas.reader", "wiring"},
    "AtlasCanceller": {"atlas", "atlas.canceller", "services.runner", "wiring"},
    "canceller_of": {"active_process", "cli.cancel", "services.runner", "wiring"},
    "cancel_restore_job": {"atlas.canceller", "services.runner"},
    "DELETE": {"atlas.http", "web.metrics"},  # the latter as a label
    ".delete": {"atlas.canceller"},  # of `AtlasHttp`
    # The kind of person who needs no approval.
    "operator": {"cancellation.people", "cli.common"},
    "OPERATOR": {"cancellation.people", "cancellation.policy"},
    # A unit of work is made by the stores alone, and no other module has one.
    "UnitOfWork": {
        *(f"storage.{name}" for name in ("audit_log", "outbox_store", "unit_of_work")),
        *(f"storage.{name}" for name in ("download_rows", "download_store")),
        *(f"storage.{name}" for name in ("request_rows", "request_store", "run_store")),
    },
    "._write": {"storage.unit_of_work"},
    # Rows of downloads have the auto-cancel time.
    ".add_download": {"storage.download_rows"},
    ".update_download": {
        *(f"storage.{name}" for name in ("download_rows", "download_store", "request_store")),
    },
}
#: The modules that make the person who acts: of a payload of Slack, or of the system's user.
MAY_MAKE_PEOPLE = {"slack.directory", "cli.common"}
#: The functions that write requests and approvals, by the store that uses them.
MAY_WRITE = {
    "storage.request_store": {"add", "add_approval", "change", "move"},
    "storage.run_store": {"change", "move", "remove_approval", "set_attempts"},
    "storage.download_store": {"delete_of_download"},  # of downloads that ended long ago
}
#: The modules that reach tables without their names: to create them, or to insert no rows.
MAY_REACH_ALL_TABLES = {"storage.migrate", "storage.migrations.env", "doctor.database"}
TIME = {"auto_cancel_at", "auto_cancelled_at", "let_run", "let_run_at"}
#: The modules that write downloads, and what of the auto-cancel time each of them sets.
SETS_TIME: dict[str, set[str]] = {
    "storage.download_rows": {"auto_cancel_at"},
    "storage.request_store": {"auto_cancelled_at", "let_run"},
    "storage.download_store": set(),
    "storage.outbox_store": set(),
    "storage.unit_of_work": set(),
}
#: What the core may import beside itself: values, errors, events and the audience of replies.
VALUES = {
    *("atlas", "atlas.errors", "atlas.models", "atlas.protocol"),
    *("cancellation.change", "cancellation.errors", "cancellation.events"),
    *("cancellation.facts", "cancellation.replies", "cancellation.words"),
    *("settings.model", "settings.reading", "settings.values", "slack.errors"),
}
#: Calls, transactions, tasks and views: what they get wrong fails, delays or hides.
TECHNIQUE = {
    *("atlas.http", "log_config", "storage.database", "tasks"),
    *("services.lookup", "slack.blockkit", "slack.client", "slack.context", "slack.dialog_view"),
    "slack.private",
}
#: The modules that pass on what the core is made of; the tests above name what they may do.
PASS_ON = {
    *("atlas", "atlas.http", "atlas.reader", "wiring", "active_process", "web.metrics"),
    *("cli.cancel", "cli.common", "storage.audit_log", "storage.outbox_store"),
}
#: Functions of a caller, by what they return, that hold no rule: clocks, effects, texts.
NO_RULE = {"None", "datetime", "float", "str", "Awaitable[object]", "AtlasCanceller", "T"}
#: The others: reads of Slack and of Atlas's feed, a view, and the transactions of the stores.
READS = {
    ("services.requests", "feed_is_readable"),
    ("services.rights", "Resolve"),
    ("slack.directory", "read"),
    ("slack.dialog", "Choose"),
    ("slack.dialog", "problem"),
    ("storage.unit_of_work", "Method"),
}


def source(text: str, name: str = "services.watch") -> Source:
    return Source(name, ast.parse(text))


def test_only_these_modules_reach_what_sends_a_delete_or_writes() -> None:
    found: dict[str, set[str]] = {name: set() for name in MAY_NAME}
    for item in SOURCES:
        for name in found.keys() & set(item.names()):
            found[name].add(item.name)

    assert found == MAY_NAME


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("getattr(x, 'cancel_restore_job')(ref)", "cancel_restore_job"),
        ("from bot.atlas import AtlasCanceller as Reader", "AtlasCanceller"),
        ("send = project.http.delete", ".delete"),
        ("canceller = clients.canceller_of", "canceller_of"),
        ("import bot.atlas.canceller as a\na.AtlasCanceller(h)", "AtlasCanceller"),
        ("store._write(lambda uow: uow.db)", "._write"),
        ("save = uow.update_download", ".update_download"),
    ],
)
def test_detour_to_a_guarded_name_is_found(text: str, name: str) -> None:
    assert name in set(source(text).names())


def test_only_these_modules_make_the_person_who_acts() -> None:
    assert {item.name for item in SOURCES if makes_people(item)} == MAY_MAKE_PEOPLE


@pytest.mark.parametrize(
    "text",
    [
        "ActingPerson(x)",
        "make = ActingPerson\nmake(x)",
        "from bot.cancellation.people import ActingPerson as Person\nPerson(x)",
        "from bot.cancellation import people\npeople.ActingPerson(x)",
        "getattr(people, 'ActingPerson')(x)",
        "cast('ActingPerson', x)",
        "cast(ActingPerson, x)",
        "Who: TypeAlias = ActingPerson\nWho(x)",
        "def f(make=ActingPerson): make(x)",
        "TypeAdapter(ActingPerson).validate_python(x)",
        "def f(person: ActingPerson): return type(person)(x)",
        "def f(person: ActingPerson): return person.__class__(x)",
        "def f(person: ActingPerson): object.__setattr__(person, 'id', 'U0EVE')",
    ],
)
def test_person_made_by_a_detour_is_found(text: str) -> None:
    assert makes_people(source(text))


def test_person_who_acts_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        replace(ADA, id="U0EVE")


def test_only_the_rows_of_requests_have_statements_that_write_them() -> None:
    assert {item.name for item in SOURCES if writes(item)} == {ROWS}


def test_only_these_modules_reach_tables_without_their_names() -> None:
    others = (item for item in SOURCES if item.name != TABLES)
    found = {item.name for item in others if list(item.uses(TABLES, {"metadata", "Table"}))}

    assert found == MAY_REACH_ALL_TABLES


@pytest.mark.parametrize(
    "text",
    [
        "from bot.storage.tables import requests as r\nupdate(r).values(state='approved')",
        "from bot.storage.tables import requests\ntable = requests\ninsert(table)",
        "from bot.storage.tables import replies, requests\nfor t in (replies, requests): delete(t)",
        "from bot.storage.tables import approvals\nmap(insert, [approvals])",
        "from bot.storage.tables import requests\nrequests.delete()",
        "from bot.storage.tables import requests\nrequests.c.id.table.update()",
        "from bot.storage.tables import requests\ncolumns = requests.c",
        "from bot.storage.tables import requests\ngetattr(requests, 'update')()",
        "from bot.storage.tables import *\nupdate(requests)",
        "from bot.storage import tables\ntables.requests.update()",
        "from bot.storage import tables\ngetattr(tables, 'requests').update()",
        "from bot.storage import tables\nt = tables\nt.requests.update()",
        "from bot.storage import tables as t\nvars(t)['requests'].update()",
        "from .tables import requests\nrequests.update()",
        "from . import tables\ntables.approvals.insert()",
        "from bot.storage.download_rows import requests\nrequests.update()",
        "from bot.storage import download_rows\ndownload_rows.requests.delete()",
        "from bot.storage import download_rows\nt = download_rows.tables\nt.requests.update()",
        "import bot.storage.tables\nbot.storage.tables.requests.update()",
        "import bot.storage.tables as t\nt.requests.update()",
        "import_module('bot.storage.tables').requests.update()",
        "uow.execute(text('UPDATE requests SET state = :s'))",
        "db.execute(text('insert into approvals values (1)'))",
        "db.execute(text(f'DELETE FROM {table}'))",
        "db.execute(text('UPDATE ' + table))",
    ],
)
def test_statement_that_writes_requests_by_a_detour_is_found(text: str) -> None:
    assert writes(source(text, "storage.outbox_store"))


def test_reads_of_requests_are_no_writes() -> None:
    text = "from bot.storage.tables import requests\nselect(requests).where(requests.c.id == 1)"

    assert not writes(source(text))


def test_only_the_stores_of_decisions_and_runs_change_requests() -> None:
    found = {item.name: changes_of_requests(item) for item in SOURCES if item.name != ROWS}

    assert {name: called for name, called in found.items() if called} == MAY_WRITE


@pytest.mark.parametrize(
    "text",
    [
        "from bot.storage.request_rows import move as m\nm(uow, request, state)",
        "from bot.storage import request_rows\nf = request_rows.move",
        "from bot.storage import request_rows\nrows = request_rows\nrows.move(uow)",
        "from bot.storage import request_rows\ngetattr(request_rows, 'move')(uow)",
        "from bot.storage import run_store\nrun_store.request_rows.move(uow)",
        "from bot.storage import run_store\nrows = run_store.request_rows\nrows.move(uow)",
        "from bot.storage.run_store import request_rows\nrequest_rows.move(uow)",
        "getattr(run_store, 'request_rows').move(uow)",
    ],
)
def test_change_of_a_request_by_a_detour_is_found(text: str) -> None:
    assert changes_of_requests(source(text))


def test_only_these_modules_write_downloads_and_set_the_auto_cancel_time() -> None:
    written = {
        item.name: sets_of(item, TIME)
        for item in SOURCES
        if set(item.names()) & {".add_download", ".update_download"}
        or (set(item.names()) & {"insert", "update", "delete"} and uses_downloads(item))
    }

    assert written == SETS_TIME


def uses_downloads(item: Source) -> bool:
    return item.name != TABLES and any(item.uses(TABLES, {"downloads"}))


@pytest.mark.parametrize(
    "text",
    [
        "replace(download, auto_cancel_at=None)",
        "update(downloads).values(**{'auto_cancel_at': None})",
        "update(downloads).values({downloads.c.auto_cancel_at: None})",
        "download.auto_cancel_at = None",
        "setattr(download, 'auto_cancel_at', None)",
    ],
)
def test_change_of_the_auto_cancel_time_by_a_detour_is_found(text: str) -> None:
    assert sets_of(source(text), TIME)


def test_page_names_every_module_that_reaches_a_delete_a_person_or_a_request() -> None:
    reach = MAY_MAKE_PEOPLE | MAY_WRITE.keys() | SETS_TIME.keys() | {ROWS}

    assert reach.union(*MAY_NAME.values()) - PASS_ON <= CORE


def test_modules_that_only_pass_on_are_not_in_the_core() -> None:
    assert not PASS_ON & CORE


def test_core_imports_only_itself_values_and_technique() -> None:
    inside = [item for item in SOURCES if item.name in CORE]
    imported = {(item.name, name) for item in inside for name in imported_modules(item)}
    others = {name for _, name in imported} - CORE

    assert {item.name for item in inside} == CORE
    assert others == VALUES | TECHNIQUE


def test_core_takes_no_rule_as_a_function_of_a_caller() -> None:
    found = {
        (item.name, name)
        for item in SOURCES
        if item.name in CORE
        for name, result in callables(item)
        if result not in NO_RULE
    }

    assert found == READS


@pytest.mark.parametrize(
    "text",
    [
        "class Runner:\n    rule: Callable[[Person], bool]",
        "def f(rule: Callable[[Person], bool] | None = None): ...",
        "rule = Callable[[Person], bool]",
        "rule: TypeAlias = Callable[[Person], bool]",
    ],
)
def test_rule_as_a_function_of_a_caller_is_found(text: str) -> None:
    assert set(callables(source(text))) == {("rule", "bool")}
