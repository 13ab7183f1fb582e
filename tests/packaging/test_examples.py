"""The examples in docs are valid for Docker, Kubernetes, Prometheus and systemd."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.required_programs import needs

DEPLOY = Path("docs/deploy")
ALERTS = Path("docs/monitoring/alerts.yaml")
CASES = Path(__file__).with_name("alerts.yaml")
UNIT = DEPLOY / "cancel-restore.service"
KUBERNETES = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))


def output(program: Path, *arguments: str | Path, cwd: Path | None = None) -> str:
    """Return the output of a program, which must end with 0."""
    result = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60, cwd=cwd
    )

    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


# Docker


def test_compose_accepts_the_example(tmp_path: Path) -> None:
    """As documented: .env is the example, filled in, and the password of the database."""
    shutil.copy(DEPLOY / "compose.yaml", tmp_path)
    example = Path(".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(f"{example}\nPOSTGRES_PASSWORD=letters4digits\n")
    printed = output(needs("docker-compose"), "config", "--format=json", cwd=tmp_path)
    bot = yaml.safe_load(printed)["services"]["bot"]
    url = bot["environment"]["DATABASE_URL"]

    assert url == "postgresql://bot:letters4digits@database/cancel_restore"
    assert bot["read_only"] is True


def test_compose_rejects_the_example_without_a_password(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "compose.yaml", tmp_path)
    shutil.copy(".env.example", tmp_path / ".env")
    with pytest.raises(AssertionError, match=re.escape("set it in .env, of letters and digits")):
        output(needs("docker-compose"), "config", cwd=tmp_path)


# Kubernetes

#: The oldest maintained version, and the newest with a schema here.
VERSIONS = ("1.30", kubernetes_validate.latest_version())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("thing", KUBERNETES, ids=lambda thing: str(thing["kind"]))
def test_kubernetes_manifest_matches_the_schema(thing: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(thing, version, strict=True)

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**thing, "mistyped": 1}, version, strict=True)


def test_kustomize_puts_the_image_of_a_release_into_the_manifests() -> None:
    rendered = list(yaml.safe_load_all(output(needs("kustomize"), "build", DEPLOY)))
    (deployment,) = (each for each in rendered if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    assert container["image"] == "ghcr.io/OWNER/cancel-restore@sha256:DIGEST"
    assert len(rendered) == len(KUBERNETES)


# Prometheus


def test_promtool_accepts_the_alert_rules() -> None:
    output(needs("promtool"), "check", "rules", "--lint=all", "--lint-fatal", ALERTS)


def test_promtool_accepts_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """Promtool checks them as the expressions of rules; Grafana is not installed."""
    panels = json.loads(Path("docs/monitoring/dashboard.json").read_text("utf-8"))["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    rules = [{"record": f"query_{n}", "expr": query} for n, query in enumerate(queries)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    assert f"{len(queries)} rules found" in output(needs("promtool"), "check", "rules", file)


def test_alerts_fire_at_their_thresholds() -> None:
    output(needs("promtool"), "test", "rules", CASES)


def test_every_alert_has_a_firing_and_a_silent_case() -> None:
    rules = re.findall(r"- alert: (\w+)", ALERTS.read_text(encoding="utf-8"))
    tests = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ())]
    firing = {case["alertname"] for case in cases if case.get("exp_alerts")}
    firing |= {
        name
        for test in tests
        for case in test.get("promql_expr_test", ())
        for sample in case["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }

    assert firing == set(rules)
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == set(rules)


# systemd


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    # Only the program and its secrets are not on this machine.
    text = re.sub(r"ExecStart=\S+", f"ExecStart={sys.executable}", text)
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("EnvironmentFile=", "EnvironmentFile=-"))

    assert output(needs("systemd-analyze", "systemd"), "verify", copy) == ""


def test_systemd_exposure_of_the_unit_is_as_documented() -> None:
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    (figure,) = re.findall(r"exposure of (\d\.\d)", page)
    analyze = needs("systemd-analyze", "systemd")
    judged = output(analyze, "security", "--offline=yes", "--no-pager", UNIT)

    assert f"Overall exposure level for {UNIT.name}: {figure} OK" in judged
    assert float(figure) < 2
