"""Names and labels of metrics are a contract with dashboards and alert rules."""

from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from bot.cancellation.request import State
from bot.web.metrics import Metrics
from tests.support.domain import START
from tests.support.metrics import samples

#: Every metric and its labels: section "metrics" of the page about operations lists the same.
CONTRACT = {
    "cancel_restore_requests_total": {"state"},
    "cancel_restore_pending_requests": set(),
    "cancel_restore_atlas_requests_total": {"method", "status"},
    "cancel_restore_atlas_request_seconds": set(),
    "cancel_restore_ack_seconds": set(),
    "cancel_restore_detection_seconds": set(),
    "cancel_restore_watch_last_success_timestamp_seconds": {"project"},
    "cancel_restore_downloads_seen_total": {"project"},
    "cancel_restore_downloads_live_link_total": {"project"},
    "cancel_restore_cancelled_before_link_total": set(),
    "cancel_restore_auto_cancels_total": {"how"},
    "cancel_restore_oldest_unposted_seconds": set(),
    "cancel_restore_dropped_posts_total": set(),
    "cancel_restore_atlas_login_refused_total": set(),
    "cancel_restore_active": set(),
}

LAST_SUCCESS = "cancel_restore_watch_last_success_timestamp_seconds,project=shop"


def test_metrics_are_those_of_the_contract_with_their_labels() -> None:
    metrics = Metrics(["shop"])
    metrics.become_active(["shop"], START)
    shown: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels}
        shown[name] = labels - {"le"}

    assert shown == CONTRACT


def test_series_that_alerts_count_exist_at_zero_from_the_start() -> None:
    """Prometheus sees no increase in a series that begins at 1."""
    metrics = Metrics(["shop"])
    expected = {f"cancel_restore_requests_total,state={state}" for state in State}
    expected |= {
        f"cancel_restore_atlas_requests_total,method={method},status={status}"
        for method in ("GET", "DELETE")
        for status in ("401", "403", "429", "none")
    }
    expected |= {
        f"cancel_restore_auto_cancels_total,how={how}" for how in ("cancelled", "let_run", "failed")
    }
    expected |= {
        f"cancel_restore_downloads_{name}_total,project=shop" for name in ("seen", "live_link")
    }
    shown = samples(metrics)

    assert {name: shown.get(name) for name in expected} == dict.fromkeys(expected, 0.0)


def test_gauges_of_a_process_that_is_not_active_show_nothing() -> None:
    """Else an old value would raise an alert beside the process that took over."""
    metrics = Metrics(["shop"])
    fresh = samples(metrics)

    metrics.become_active(["shop"], START)
    assert samples(metrics)[LAST_SUCCESS] == START.timestamp()
    metrics.set_round("shop", START + timedelta(minutes=1))
    metrics.set_backlog(25, 90.0)
    assert samples(metrics) == fresh | {
        LAST_SUCCESS: START.timestamp() + 60,
        "cancel_restore_active": 1,
        "cancel_restore_pending_requests": 25,
        "cancel_restore_oldest_unposted_seconds": 90,
    }

    metrics.become_standby()
    metrics.set_round("shop", START)  # of a part that ends late
    metrics.set_backlog(25, 90.0)
    assert samples(metrics) == fresh


def test_atlas_call_is_counted_by_method_and_status_and_timed() -> None:
    metrics = Metrics()
    metrics.observe_atlas_call("DELETE", 204, 0.25)
    metrics.observe_atlas_call("GET", None, 0.5)
    shown = samples(metrics)

    assert shown["cancel_restore_atlas_requests_total,method=DELETE,status=204"] == 1
    assert shown["cancel_restore_atlas_requests_total,method=GET,status=none"] == 1
    assert shown["cancel_restore_atlas_request_seconds_count"] == 2
    assert shown["cancel_restore_atlas_request_seconds_sum"] == 0.75


def test_detection_before_the_start_by_another_clock_counts_as_at_once() -> None:
    metrics = Metrics()
    metrics.observe_detection(12)
    metrics.observe_detection(-0.5)
    shown = samples(metrics)

    assert shown["cancel_restore_detection_seconds_bucket,le=5.0"] == 1
    assert shown["cancel_restore_detection_seconds_bucket,le=15.0"] == 2
    assert shown["cancel_restore_detection_seconds_sum"] == 12
