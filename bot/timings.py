"""Intervals, timeouts and leases of a running bot, in one value that is passed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Timings:
    """All values are seconds. Tests pass shorter ones; nothing else changes them.

    A constructor that takes one of them has `Timings.name` as its default.
    """

    # Requests
    sweep_interval: float = 2.0  # between two sweeps, give or take a half
    request_lease: float = 10.0  # for which a claim of a request holds without renewal
    lease_renewal_interval: float = 3.0  # between two renewals: a third of the lease

    # Outbox
    outbox_poll_interval: float = 2.0  # between two reads of the outbox without a notification

    # Shutdown, in the order in which the parts stop
    drain: float = 3.0  # in which a load balancer must notice that `/readyz` answers 503
    receiver_stop_timeout: float = 2.5  # for the answers that are being given to Slack
    dialog_stop_timeout: float = 1.5  # for dialogs that are being updated
    run_stop_timeout: float = 3.0  # for requests that are being run
    outbox_stop_timeout: float = 2.0  # for posts that are due
    connection_stop_timeout: float = 0.5  # for open HTTP connections
    span_export_timeout: float = 1.0  # for spans that were not exported yet
    shutdown: float = 6.0  # for all of these; a part that begins later gets `late_stop_timeout`
    late_stop_timeout: float = 0.2
