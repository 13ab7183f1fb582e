"""Alert rules and dashboard use the bot's metrics, and the rules fire at their thresholds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.cancellation.request import State
from bot.web.metrics import AUTO_CANCEL_ENDS, Metrics
from tests.support.alerts import MONITORING, promtool
from tests.support.alerts import RULES as ALERTS

CASES = Path(__file__).with_name("alerts.yaml")
KUBERNETES = Path("docs/deploy/kubernetes.yaml")
EVENTS = Path("tests/acceptance/serve/test_alarms.py")
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
PANELS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
RULES = [
    rule
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
QUERIES = [*PANELS, *(rule["expr"] for rule in RULES)]


def test_promtool_accepts_the_alert_rules() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)


def test_promtool_accepts_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """Promtool checks them as the expressions of rules; Grafana is not installed."""
    rules = [{"record": f"query_{n}", "expr": query} for n, query in enumerate(PANELS)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    assert f"{len(PANELS)} rules found" in promtool("check", "rules", file)


def test_alerts_fire_at_their_thresholds_and_are_silent_otherwise() -> None:
    promtool("test", "rules", CASES)


def test_every_alert_fires_in_a_case_or_by_an_event() -> None:
    fires = set(re.findall(r"alertname\W+CancelRestore(\w+)", CASES.read_text(encoding="utf-8")))
    fires |= set(re.findall(r"alert\(\"(\w+)\"", EVENTS.read_text(encoding="utf-8")))

    assert fires == {rule["alert"].removeprefix("CancelRestore") for rule in RULES}


@pytest.mark.parametrize("name", ["prometheus.yaml", "prometheus-kubernetes.yaml"])
def test_scrape_configuration_gives_the_job_of_the_rules(name: str) -> None:
    promtool("check", "config", MONITORING / name)

    assert scrape_config(name)["job_name"] == "cancel-restore"


def scrape_config(name: str) -> dict[str, Any]:
    configuration = yaml.safe_load((MONITORING / name).read_text(encoding="utf-8"))
    (scrape,) = configuration["scrape_configs"]
    return dict(scrape)


def test_pods_of_the_deployment_are_scraped_under_the_job_of_the_rules() -> None:
    deployment = next(
        item["spec"]["template"]
        for item in yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))
        if item["kind"] == "Deployment"
    )
    labels: dict[str, str] = deployment["metadata"]["labels"]
    (container,) = deployment["spec"]["containers"]
    scrape = scrape_config("prometheus-kubernetes.yaml")
    discovery = scrape["kubernetes_sd_configs"][0]["selectors"]
    keep = scrape["relabel_configs"][0]
    monitor = yaml.safe_load((MONITORING / "podmonitor.yaml").read_text(encoding="utf-8"))["spec"]

    assert labels[monitor["jobLabel"]] == "cancel-restore"
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert [(e["port"], e["path"]) for e in monitor["podMetricsEndpoints"]] == [
        (port["name"], "/metrics") for port in container["ports"]
    ]
    assert discovery == [{"role": "pod", "label": "app.kubernetes.io/name=cancel-restore"}]
    assert (keep["regex"], keep["action"]) == (monitor["podMetricsEndpoints"][0]["port"], "keep")


def series() -> set[str]:
    """Return every series of the bot, and the one that Prometheus adds."""
    rendered = Metrics().render().decode()
    names = set(re.findall(r"^# TYPE (\w+)", rendered, re.MULTILINE))
    return names | {f"{name}_bucket" for name in names if name.endswith("_seconds")} | {"up"}


def test_queries_name_series_and_labels_of_the_bot_alone() -> None:
    named = [pair for query in QUERIES for pair in re.findall(r"(\w+)\{([^}]*)\}", query)]
    text = " ".join(QUERIES)

    assert [query for query in QUERIES if not re.search(r"\w\{", query)] == []
    assert {name for name, _ in named} - series() == set()
    assert [pair for pair in named if 'job="cancel-restore"' not in pair[1]] == []
    assert set(re.findall(r'state="(\w+)"', text)) <= set(State)
    assert set(re.findall(r'how="(\w+)"', text)) <= set(AUTO_CANCEL_ENDS)


def test_every_metric_is_on_the_dashboard() -> None:
    """What nobody looks at is not worth its series."""
    names = {re.sub(r"_bucket$", "", name) for name in series()} - {"up"}

    assert {name for name in names if f"{name}{{" not in " ".join(PANELS)} == {
        name for name in names if f"{name}_bucket{{" in " ".join(PANELS)
    }


def test_every_end_that_needs_a_person_has_an_alert() -> None:
    alerted = set(re.findall(r'state="(\w+)"', " ".join(rule["expr"] for rule in RULES)))

    assert alerted == {"failed", "refused", "changed"}
