"""The base of the stores, and the decorators that make their methods transactions."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy import Connection

from bot.cancellation.errors import Conflict
from bot.cancellation.events import TYPED_FIELDS
from bot.cancellation.lifecycle import State
from bot.storage.database import Database
from bot.storage.unit_of_work import UnitOfWork

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Store:
    """The base of the stores: each method that `reads` or `writes` decorates is one transaction.

    `on_state_entered` is called after the commit with each state that a request enters.
    """

    #: Whether transactions may wait for those of listeners, and take longer.
    background = False

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        on_state_entered: Callable[[State], None] = lambda _state: None,
    ) -> None:
        self._database = database
        self._now = now
        self._on_state_entered = on_state_entered

    async def _read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work`, which changes nothing; raises `NotRead`."""
        return await self._database.read(
            lambda db: work(UnitOfWork(db, self._now())), background=self.background
        )

    async def _write(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` and commit it; raises what `Database.write` raises.

        The clock is read when the transaction begins: a lease may expire while it waits.
        """

        def run(db: Connection) -> tuple[T, UnitOfWork]:
            uow = UnitOfWork(db, self._now())
            result = work(uow)
            uow.flush()
            return result, uow

        try:
            result, committed = await self._database.write(run, background=self.background)
        except Conflict:  # another transaction inserted first: now its rows are found
            result, committed = await self._database.write(run, background=self.background)
        for event in committed.recorded:
            typed = TYPED_FIELDS.get(event.name)
            detail = {name: value for name, value in event.detail.items() if name != typed}
            log.info(str(event.name), request=event.request, actor=event.actor, detail=detail)
        for state in committed.entered:
            self._on_state_entered(state)
        return result


S = TypeVar("S", bound=Store)
P = ParamSpec("P")
Transaction = Callable[Concatenate[S, UnitOfWork, P], T]
Method = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]


def reads(work: Transaction[S, P, T]) -> Method[S, P, T]:
    """Make a function of a unit of work a method that reads; it raises `NotRead`."""

    @wraps(work)
    async def method(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._read(lambda uow: work(self, uow, *args, **kwargs))

    return method


def writes(work: Transaction[S, P, T]) -> Method[S, P, T]:
    """Make a function of a unit of work a method that commits; it raises `LedgerError`."""

    @wraps(work)
    async def method(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._write(lambda uow: work(self, uow, *args, **kwargs))

    return method
