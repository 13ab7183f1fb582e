"""The examples in docs are valid for Docker, Kubernetes, Prometheus and systemd, and run."""

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bot.cancellation.lifecycle import State
from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.settings.credentials import DEFAULT_VARIABLES
from bot.settings.load import KNOWN_VARIABLES
from bot.web.metrics import Metrics
from tests.support.dockerfile import read_stages
from tests.support.environ import bot_environ
from tests.support.process import BotProcess, run_command
from tests.support.required_programs import needs

Json = dict[str, Any]

DEPLOY = Path("docs/deploy")
MONITORING = Path("docs/monitoring")
IMAGE = read_stages()[-1]
USER = IMAGE.one("USER").rest.partition(":")[0]

#: Documented maximum shutdown time, in seconds.
MAX_SHUTDOWN = 10

SECRETS = {"SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "DATABASE_URL"}
SECRETS |= set(DEFAULT_VARIABLES.values())


@asynccontextmanager
async def services(database_url: str = "") -> AsyncIterator[dict[str, str]]:
    """Start both fake servers; yield the variables of a bot that listens on loopback only."""
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        yield {**bot_environ(slack, atlas, database_url), "HOST": "127.0.0.1"}


def output(program: Path, *arguments: str | Path, cwd: Path | None = None) -> str:
    """Return the output of a program, which must end with 0."""
    result = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )

    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_every_example_is_linked() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    files = [path.name for folder in (DEPLOY, MONITORING) for path in folder.iterdir()]

    assert [name for name in files if name != "README.md" and f"{name})" not in text] == []


# Docker


def test_compose_accepts_the_example(tmp_path: Path) -> None:
    """As documented: .env is the example, filled in, and the password of the database."""
    shutil.copy(DEPLOY / "compose.yaml", tmp_path)
    example = Path(".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(f"{example}\nPOSTGRES_PASSWORD=letters4digits\n")
    printed = output(needs("docker-compose"), "config", "--format=json", cwd=tmp_path)
    url = yaml.safe_load(printed)["services"]["bot"]["environment"]["DATABASE_URL"]

    assert url == "postgresql://bot:letters4digits@database/cancel_restore"


def test_compose_rejects_the_example_without_a_password(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "compose.yaml", tmp_path)
    shutil.copy(".env.example", tmp_path / ".env")
    with pytest.raises(AssertionError, match=re.escape("set it in .env, of letters and digits")):
        output(needs("docker-compose"), "config", cwd=tmp_path)


def test_compose_runs_two_replicas_with_the_least_rights() -> None:
    bot = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]["bot"]
    (home,) = (each for each in bot["tmpfs"] if each.startswith(f"{IMAGE.environment()['HOME']}:"))

    assert set(bot["environment"]) <= KNOWN_VARIABLES
    assert bot["deploy"] == {"replicas": 2}
    assert bot["read_only"] is True
    assert bot["cap_drop"] == ["ALL"]
    assert bot["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in bot
    assert f"uid={USER}," in home
    assert int(bot["stop_grace_period"].removesuffix("s")) > MAX_SHUTDOWN


# Kubernetes

KUBERNETES: dict[str, Json] = {
    each["kind"]: each
    for each in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
}
POD: Json = KUBERNETES["Deployment"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
CONFIG: Json = KUBERNETES["ConfigMap"]["data"]
REFERENCES: dict[str, Json] = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in CONTAINER["env"]}

#: The oldest maintained version, and the newest with a schema here.
VERSIONS = ("1.30", kubernetes_validate.latest_version())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KUBERNETES)
def test_kubernetes_manifest_matches_the_schema(kind: str, version: str) -> None:
    thing = KUBERNETES[kind]
    kubernetes_validate.validate(thing, version, strict=True)

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**thing, "mistyped": 1}, version, strict=True)


def test_kustomize_puts_the_image_of_a_release_into_the_manifests() -> None:
    rendered = list(yaml.safe_load_all(output(needs("kustomize"), "build", DEPLOY)))
    (deployment,) = (each for each in rendered if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    assert container["image"] == "ghcr.io/OWNER/cancel-restore@sha256:DIGEST"
    assert len(rendered) == len(KUBERNETES)


def test_secrets_and_only_they_are_references() -> None:
    assert set(CONFIG) <= KNOWN_VARIABLES - SECRETS
    assert set(REFERENCES) <= SECRETS
    assert {n: {"name": "cancel-restore", "key": n} for n in REFERENCES} == REFERENCES
    assert CONTAINER["envFrom"] == [
        {"configMapRef": {"name": KUBERNETES["ConfigMap"]["metadata"]["name"]}}
    ]


def test_pods_run_as_the_images_user_with_the_least_rights() -> None:
    pod = POD["spec"]["securityContext"]

    assert pod["runAsNonRoot"] is True
    assert str(pod["runAsUser"]) == str(pod["runAsGroup"]) == USER
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["spec"]["automountServiceAccountToken"] is False


def test_new_pod_is_ready_before_an_old_one_ends() -> None:
    spec = KUBERNETES["Deployment"]["spec"]

    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert POD["spec"]["terminationGracePeriodSeconds"] > MAX_SHUTDOWN


async def test_environment_of_kubernetes_runs_and_answers_its_probes(on_postgres: str) -> None:
    paths = [
        CONTAINER[f"{n}Probe"]["httpGet"]["path"] for n in ("startup", "liveness", "readiness")
    ]
    paths += [POD["metadata"]["annotations"]["prometheus.io/path"]]
    async with services(on_postgres) as filled_in:
        secrets = {name: filled_in[name] for name in REFERENCES}
        elsewhere = {n: v for n, v in filled_in.items() if n.endswith("_URL") or n == "HOST"}
        with BotProcess({**CONFIG, **secrets, **elsewhere}) as process:
            await process.ready()
            answers = {path: await process.status(path) for path in paths}
            code = await process.stop()

    assert answers == dict.fromkeys(("/healthz", "/readyz", "/metrics"), 200)
    assert code == 0


# Prometheus

ALERTS = MONITORING / "alerts.yaml"
CASES = Path(__file__).with_name("alerts.yaml")
DASHBOARD: Json = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
PANELS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
RULES = [
    rule["expr"]
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]


def test_promtool_accepts_the_alert_rules() -> None:
    output(needs("promtool"), "check", "rules", "--lint=all", "--lint-fatal", ALERTS)


def test_promtool_accepts_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """Promtool checks them as the expressions of rules; Grafana is not installed."""
    rules = [{"record": f"query_{n}", "expr": query} for n, query in enumerate(PANELS)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    assert f"{len(PANELS)} rules found" in output(needs("promtool"), "check", "rules", file)


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


def series() -> set[str]:
    """Return the name of every series that `/metrics` shows once each of its series has a value."""
    metrics = Metrics()
    metrics.observe_atlas_call("GET", 200, 0.1)
    metrics.ack_seconds.observe(0.1)
    metrics.ready.labels(check="slack").set(1)
    metrics.watch_success.labels(project="shop").set_to_current_time()
    metrics.secret_expires.labels(project="shop").set(1)
    metrics.quarantine_limit_reached.labels(project="shop").inc()
    metrics.set_channels({"C1": True})
    metrics.set_downloads_seen("shop", 1)
    metrics.set_downloads_disowned("shop", 1)
    shown = io.StringIO(metrics.render().decode())
    return {re.split(r"[ {]", line)[0] for line in shown if not line.startswith("#")} | {"up"}


def test_queries_name_series_and_states_of_the_bot_only() -> None:
    queries = [*RULES, *PANELS]
    named = [pair for query in queries for pair in re.findall(r"(\w+)\{([^}]*)\}", query)]
    states = set(re.findall(r'state="(\w+)"', " ".join(queries)))

    assert [query for query in queries if not re.search(r"\w\{", query)] == []
    assert {name for name, _ in named} - series() == set()
    assert [pair for pair in named if 'job="cancel-restore"' not in pair[1]] == []
    assert states - set(State) == set()


def test_every_final_state_that_needs_a_person_has_an_alert() -> None:
    alerted = set(re.findall(r'state="(\w+)"', " ".join(RULES)))

    assert alerted == {"failed", "refused", "changed"}


# systemd

UNIT = DEPLOY / "cancel-restore.service"


def unit() -> dict[str, list[str]]:
    """Return the values of each key; a key may occur several times."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"(?m)^(\w+)=(.*)$", UNIT.read_text(encoding="utf-8")):
        found.setdefault(key, []).append(value)
    return found


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


async def test_command_of_the_unit_runs_and_ends_in_time(tmp_path: Path) -> None:
    (start,), (stop,) = unit()["ExecStart"], unit()["TimeoutStopSec"]
    given = dict(each.split("=", 1) for line in unit()["Environment"] for each in shlex.split(line))
    inside = {n: v.replace("/var/lib/cancel-restore", str(tmp_path)) for n, v in given.items()}
    async with services() as filled_in:
        with BotProcess({**filled_in, **inside}) as process:
            await process.ready()
            code = await process.stop(float(stop))

    assert set(given) - KNOWN_VARIABLES == {"HOME", "PYTHONDONTWRITEBYTECODE"}
    assert start.split()[1:] == ["serve"]
    assert code == 0
    assert int(stop) > MAX_SHUTDOWN
    assert (tmp_path / "cancel-restore.db").exists()


async def test_unit_is_not_restarted_after_wrong_settings() -> None:
    ran = await run_command("serve")

    assert unit()["RestartPreventExitStatus"] == [str(ran.code)]
