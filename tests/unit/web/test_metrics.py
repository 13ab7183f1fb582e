"""Metric names are a contract with dashboards and alert rules."""

from prometheus_client.parser import text_string_to_metric_families

from bot.cancellation.events import Event, EventName
from bot.cancellation.lifecycle import State
from bot.web.metrics import METHODS, Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        f"{s.name}{','.join(f'{k}={v}' for k, v in sorted(s.labels.items()))}": s.value
        for family in families
        for s in family.samples
    }


def test_each_state_has_a_counter_at_zero() -> None:
    shown = samples(Metrics())

    assert {f"cancel_restore_requests_totalstate={s}": 0.0 for s in State}.items() <= shown.items()


def test_states_answers_and_cancellations_before_the_link_are_counted_by_their_events() -> None:
    metrics = Metrics()
    events: list[tuple[EventName, dict[str, object]]] = [
        (EventName.CREATED, {"state": "awaiting"}),
        (EventName.CREATED, {"state": "approved"}),
        (EventName.APPROVED, {}),
        (EventName.TAKEN_OVER, {}),
        (EventName.QUARANTINED, {}),
        (EventName.QUARANTINED, {"tries_again": True}),
        (EventName.CANCELLED, {}),
        (EventName.CANCELLED, {"link_live_since": "2026-11-25T12:00:00+00:00"}),
        (EventName.CANCELLED, {"link_unknown": True}),
        (EventName.DOWNLOAD_DISOWNED, {}),
    ]
    for name, detail in events:
        metrics.count_event(Event(name=name, request="r", number=1, at="", detail=detail))
    shown = samples(metrics)

    states = {state: shown[f"cancel_restore_requests_totalstate={state}"] for state in State}
    assert {state: n for state, n in states.items() if n} == {
        State.AWAITING: 1, State.APPROVED: 1, State.CANCELLED: 3,
        State.QUARANTINED: 1, State.FAILED: 1,
    }  # fmt: skip
    assert shown["cancel_restore_cancelled_before_link_total"] == 1
    assert shown["cancel_restore_starter_questions_totalstep=not_mine"] == 1


def test_atlas_counters_of_alerts_exist_at_zero() -> None:
    """Prometheus sees no increase in a series that begins at 1."""
    shown = samples(Metrics())
    awaited = {f"method={m},status={s}" for m in METHODS for s in ("403", "429", "none")}

    assert {f"cancel_restore_atlas_requests_total{labels}": 0.0 for labels in awaited}.items() <= (
        shown.items()
    )


def test_atlas_call_is_counted_by_method_and_status_and_timed() -> None:
    metrics = Metrics()
    metrics.observe_atlas_call("DELETE", 204, 0.25)
    metrics.observe_atlas_call("GET", None, 0.5)
    shown = samples(metrics)

    assert shown["cancel_restore_atlas_requests_totalmethod=DELETE,status=204"] == 1
    assert shown["cancel_restore_atlas_requests_totalmethod=GET,status=none"] == 1
    assert shown["cancel_restore_atlas_request_seconds_count"] == 2
    assert shown["cancel_restore_atlas_request_seconds_sum"] == 0.75


def test_detection_is_a_histogram_up_to_the_first_live_link() -> None:
    metrics = Metrics()
    metrics.observe_detection(12)
    metrics.observe_detection(-0.5)  # the clocks of two machines
    shown = samples(metrics)

    assert shown["cancel_restore_detection_seconds_bucketle=5.0"] == 1
    assert shown["cancel_restore_detection_seconds_bucketle=15.0"] == 2
    assert shown["cancel_restore_detection_seconds_sum"] == 12


def test_channel_that_left_the_settings_is_not_shown_any_more() -> None:
    metrics, name = Metrics(), "cancel_restore_channel_reachablechannel="
    metrics.set_channels({"C1": True, "C2": False})
    metrics.set_channels({"C2": True})

    shown = {each: value for each, value in samples(metrics).items() if each.startswith(name)}
    assert shown == {f"{name}C2": 1}
