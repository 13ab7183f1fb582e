"""Intervals, timeouts and leases in one frozen value, and the backoff between retries."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Timings:
    """All values are seconds. Tests pass shorter ones; nothing else changes them.

    A constructor that takes one of them has `Timings.name` as its default.
    """

    transaction_timeout: float = 2.0  # of the database: Slack needs an answer within 3

    # Slack
    slack_timeout: float = 10.0  # for one call: the SDK's 30 are longer than a trigger lives
    ack_timeout: float = 2.5  # for the database before an ack: Slack waits 3, with the network
    reason_check_timeout: float = 1.0  # for checks before some dialogs open: a trigger lives 3

    # Connections of Socket Mode; Slack counts one that was cut for some minutes
    connection_stagger: float = 15.0  # between two: Slack refreshes each after the same hours
    reconnect_pause: float = 1.0  # after a cut; four times as long with each one that Slack counts
    longest_reconnect_pause: float = 14.0  # a bot without any connection is back within 25
    second_pause: float = 120.0  # before another second one while Slack counts too many; doubled
    longest_second_pause: float = 600.0
    connection_count_interval: float = 3.0  # between two reports of how many a process holds
    excess_grace: float = 10.0  # in which the other processes have reported theirs

    # Requests
    sweep_interval: float = 2.0  # between two sweeps
    notice_interval: float = 0.5  # of due notices: reminders a second apart must not count as one
    request_lease: float = 10.0  # for which a claim of a request holds without renewal
    lease_renewal_interval: float = 3.0  # between two renewals: a third of the lease
    run_timeout: float = 15.0  # after which no attempt starts, to report a fault within 30
    people_max_age: float = 1.0  # from the begin of a read of people to the DELETE
    final_read_timeout: float = 8.0  # for the GET after a DELETE, even past `run_timeout`
    lease_release_timeout: float = 1.0  # to release leases at shutdown; otherwise they run out

    # Background loops
    leader_lease: float = 10.0  # for which a replica leads without renewal
    leader_interval: float = 2.0  # between two renewals, or attempts to lead
    loop_restart_pause: float = 5.0  # after one failed

    # Settings
    projects_file_interval: float = 2.0  # between two checks of the projects file for a change
    file_comparison_interval: float = 5.0  # between two with the file of the replica that leads
    organization_interval: float = 300.0  # between two reads of an organization's projects
    organization_retry: float = 20.0  # after a list could not be read

    # Outbox
    outbox_poll_interval: float = 0.4  # between reads: posts of other processes leave within 0.5
    message_interval: float = 1.0  # between two messages of a channel, after a burst, as documented
    edit_window: float = 72.0  # Slack's minute, and the time from the count to the arrival
    channel_interval: float = 30.0  # between two reads of the channels that the settings name

    # Watch of new restore jobs
    watch_call_interval: float = 0.108  # between two calls of all watches, beside logins
    watch_read_interval: float = 0.63  # between two reads of clusters of a project, after a burst
    min_events_interval: float = 2.4  # between two reads of a feed: a quarter of 100 a minute
    open_job_interval: float = 12.0  # the same where a download is open, or a read failed
    watch_record_interval: float = 6.0  # between two records of when all clusters were read
    watch_idle_interval: float = 0.5  # between two checks whether a request came in the feed
    cluster_list_max_age: float = 15.0  # of the list of clusters, where the interval is shorter
    cluster_list_interval: float = 300.0  # of the list of clusters, from an interval of a minute on
    rate_limit_pause: float = 2.5  # when the watch's share of the rate limit is used up
    key_refused_pause: float = 60.0  # when Atlas refuses the key of a project

    # Audit webhook
    webhook_poll_interval: float = 1.0  # between two reads of what is unsent
    webhook_count_interval: float = 5.0  # between two reads of the lag
    webhook_try_timeout: float = 9.5  # for one POST: 10 s with the time around it
    webhook_first_pause: float = 1.0  # after a POST that was not taken
    webhook_longest_pause: float = 28.0  # doubled up to this: 30 s with a poll

    # Starters and links of jobs
    job_facts_interval: float = 7.0  # between two reads of each job whose request waits

    # Quarantine
    quarantine_interval: float = 1.0  # between two checks of quarantined downloads

    # Shutdown, in the order in which the parts stop
    drain: float = 3.0  # in which a load balancer must notice that `/readyz` answers 503
    receiver_stop_timeout: float = 2.5  # for the answers that are being given to Slack
    dialog_stop_timeout: float = 1.5  # for dialogs that are being updated
    run_stop_timeout: float = 3.0  # for requests that are being run
    outbox_stop_timeout: float = 2.0  # for posts that are due
    webhook_stop_timeout: float = 0.5  # for the open POSTs of the audit webhook
    connection_stop_timeout: float = 0.5  # for open HTTP connections
    shutdown: float = 6.0  # for all of these; a part that begins later gets `late_stop_timeout`
    late_stop_timeout: float = 0.2


DEFAULT_TIMINGS = Timings()
_MAX_DOUBLINGS = 30  #: doublings after which the pause stays; keeps the power of two small


def backoff(
    failures: int, *, first: float, longest: float, jitter: float, retry_after: float | None = None
) -> float:
    """Return the seconds to wait after `failures` failed attempts in a row.

    The pause is `first`, doubled with each further failure up to `longest`, and never shorter than
    the `retry_after` of the server. The jitter, a random number from 0 to 1, spreads clients that
    failed at the same moment: it takes up to half off the client's own pause, and adds up to a
    tenth to the server's.
    """
    pause = min(first * float(2 ** min(failures - 1, _MAX_DOUBLINGS)), longest) * (1 - jitter / 2)
    return pause if retry_after is None else max(pause, retry_after * (1 + jitter / 10))
