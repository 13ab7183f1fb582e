"""Short timings: the same rules in less time."""

from __future__ import annotations

from dataclasses import replace

from bot.sandbox.slack import Settings
from bot.timings import Timings

#: Long, because a busy machine may keep a thread from running for seconds.
DATABASE_TIMEOUT = 20.0

#: A Slack that waits longer than 3 seconds, for tests of other rules.
LONG_TIMEOUT_SLACK = Settings(ack_seconds=DATABASE_TIMEOUT, trigger_seconds=DATABASE_TIMEOUT)

_COMMON_TIMINGS = Timings(
    transaction_timeout=DATABASE_TIMEOUT,
    ack_timeout=DATABASE_TIMEOUT,
    reason_check_timeout=DATABASE_TIMEOUT,
    people_max_age=DATABASE_TIMEOUT,
    watch_call_interval=0.002,
    watch_read_interval=0.01,
    min_events_interval=0.2,
    watch_record_interval=0.3,
    watch_idle_interval=0.05,
    cluster_list_max_age=0.3,
)

#: For a bot in the process of the test.
SHORT_TIMINGS = replace(
    _COMMON_TIMINGS,
    sweep_interval=0.3,
    notice_interval=0.3,
    projects_file_interval=0.1,
    outbox_poll_interval=0.3,
    message_interval=0.05,
    rate_limit_pause=0.3,
    quarantine_interval=0.1,
    organization_interval=0.5,
    organization_retry=0.3,
    drain=0.0,
)

#: For bots in processes of their own, which are killed and replaced.
SHORT_PROCESS_TIMINGS = replace(
    _COMMON_TIMINGS,
    sweep_interval=0.5,
    request_lease=3.0,
    lease_renewal_interval=1.0,
    leader_lease=3.0,
    leader_interval=0.5,
    message_interval=0.1,
    file_comparison_interval=0.5,
    drain=1.0,
    receiver_stop_timeout=1.0,
    dialog_stop_timeout=0.5,
    run_stop_timeout=1.5,
    outbox_stop_timeout=1.0,
    shutdown=3.0,
)

#: For the bot of the demo, which many scenarios stop and start again.
DEMO_TIMINGS = Timings(
    transaction_timeout=DATABASE_TIMEOUT,
    ack_timeout=DATABASE_TIMEOUT,
    reason_check_timeout=DATABASE_TIMEOUT,
    people_max_age=DATABASE_TIMEOUT,
    watch_read_interval=0.01,
    min_events_interval=0.2,
    watch_idle_interval=0.05,
    sweep_interval=0.5,
    leader_interval=0.5,
    message_interval=0.05,
    edit_window=1.0,
    job_facts_interval=1.0,
    drain=0.0,
)

#: For other processes, with the bot's own limits where the database does not answer.
OUTAGE_TIMINGS = replace(
    SHORT_PROCESS_TIMINGS,
    transaction_timeout=Timings.transaction_timeout,
    ack_timeout=Timings.ack_timeout,
)
