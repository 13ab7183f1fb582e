"""Alert rules and dashboard use the bot's metrics, and the rules fire at their thresholds."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from bot.cancellation.request import State
from bot.web.metrics import AUTO_CANCEL_ENDS, Metrics
from tests.support.required_programs import needs

ALERTS = Path("docs/monitoring/alerts.yaml")
CASES = Path(__file__).with_name("alerts.yaml")
DASHBOARD: dict[str, Any] = json.loads(
    Path("docs/monitoring/dashboard.json").read_text(encoding="utf-8")
)
PANELS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
RULES = [
    rule
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
QUERIES = [*PANELS, *(rule["expr"] for rule in RULES)]


def promtool(*arguments: str | Path) -> str:
    result = subprocess.run(
        [needs("promtool", "prometheus"), *arguments], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


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


def test_every_alert_fires_in_a_case() -> None:
    cases = CASES.read_text(encoding="utf-8")

    assert [rule["alert"] for rule in RULES if rule["alert"] not in cases] == []


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
