"""Budgets of calls to Slack, which all replicas share."""

import json
from datetime import timedelta

from sqlalchemy import insert, select, update

from bot.storage.tables import MILLISECONDS, milliseconds, slack_calls
from bot.storage.unit_of_work import Store, UnitOfWork, writes


class CallBudget(Store):
    """One row for each method of Slack; the clock is the database's."""

    @writes
    def take(self, uow: UnitOfWork, method: str, limit: int, window: float) -> float:
        """Count a call, or return the seconds until fewer than `limit` are in the window.

        Raises `StorageError`, after which the call must not be made.
        """
        is_method = slack_calls.c.method == method
        row = uow.execute(select(slack_calls).where(is_method).with_for_update()).first()
        now = milliseconds(uow.now)
        began, end = (milliseconds(uow.now + timedelta(seconds=each)) for each in (-window, window))
        # A later time than the end was written before the clock was set back.
        recent: list[int] = [at for at in (json.loads(row.at) if row else []) if began < at <= end]
        if len(recent) >= limit:
            return (sorted(recent)[len(recent) - limit] - began) / MILLISECONDS
        values = {"method": method, "at": json.dumps([*recent, now])}
        if row is None:
            uow.execute(insert(slack_calls), values)  # its key decides between two
        else:
            uow.execute(update(slack_calls).where(is_method).values(**values))
        return 0.0
