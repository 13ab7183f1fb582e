"""The figures: their names are a contract with dashboards and alert rules."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from bot.cancellation.lifecycle import State
from bot.web.metrics import METHODS, STATES, Metrics


def figures(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        f"{s.name}{','.join(f'{k}={v}' for k, v in sorted(s.labels.items()))}": s.value
        for family in families
        for s in family.samples
    }


def test_every_state_has_a_counter_before_anything_happens() -> None:
    shown = figures(Metrics())

    assert {f"cancel_restore_requests_totalstate={s}": 0.0 for s in STATES}.items() <= shown.items()


def test_what_alerts_wait_for_the_first_of_is_there_at_0() -> None:
    """Prometheus sees no increase in a series that begins at 1."""
    shown = figures(Metrics())
    awaited = {f"method={m},status={s}" for m in METHODS for s in ("403", "429", "none")}

    assert {f"cancel_restore_atlas_requests_total{labels}": 0.0 for labels in awaited}.items() <= (
        shown.items()
    )


def test_the_states_are_those_of_the_domain() -> None:
    assert set(STATES) == {state.value for state in State}


def test_an_entered_state_is_counted() -> None:
    metrics = Metrics()
    metrics.state_entered("cancelled")
    metrics.state_entered("cancelled")

    assert figures(metrics)["cancel_restore_requests_totalstate=cancelled"] == 2


def test_a_call_of_atlas_is_counted_by_method_and_status_and_timed() -> None:
    metrics = Metrics()
    metrics.atlas_answered("DELETE", 204, 0.25)
    metrics.atlas_answered("GET", None, 0.5)
    shown = figures(metrics)

    assert shown["cancel_restore_atlas_requests_totalmethod=DELETE,status=204"] == 1
    assert shown["cancel_restore_atlas_requests_totalmethod=GET,status=none"] == 1
    assert shown["cancel_restore_atlas_request_seconds_count"] == 2
    assert shown["cancel_restore_atlas_request_seconds_sum"] == 0.75


def test_acknowledgements_are_timed_up_to_slacks_three_seconds() -> None:
    metrics = Metrics()
    metrics.acked(0.02)
    metrics.acked(4)
    shown = figures(metrics)

    assert shown["cancel_restore_ack_seconds_bucketle=0.025"] == 1
    assert shown["cancel_restore_ack_seconds_bucketle=3.0"] == 1
    assert shown["cancel_restore_ack_seconds_count"] == 2


def test_pending_requests_are_a_level_not_a_count() -> None:
    metrics = Metrics()
    metrics.pending(7)
    metrics.pending(2)

    assert figures(metrics)["cancel_restore_pending_requests"] == 2


def test_connections_are_counted_at_each_look() -> None:
    metrics, live = Metrics(), [2, 1]
    assert figures(metrics)["cancel_restore_slack_connections"] == 0
    metrics.watch_connections(live.pop)

    assert [figures(metrics)["cancel_restore_slack_connections"] for _ in range(2)] == [1, 2]


def test_two_bots_in_one_process_do_not_share_figures() -> None:
    first, second = Metrics(), Metrics()
    first.state_entered("failed")

    assert figures(second)["cancel_restore_requests_totalstate=failed"] == 0
