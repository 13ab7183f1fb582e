"""The deployment examples and the monitoring files are valid, and run."""

import asyncio
import io
import json
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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
from tests.support.postgres import PostgresServer
from tests.support.process import BotProcess, run_command

Json = dict[str, Any]

DEPLOY = Path("docs/deploy")
MONITORING = Path("docs/monitoring")
FINAL = read_stages()[-1]
IMAGE = FINAL.environment()
USER = FINAL.one("USER").rest.partition(":")[0]

#: Documented maximum shutdown time, in seconds.
MAX_SHUTDOWN = 10


SECRET = {
    *("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "DATABASE_URL"),
    *DEFAULT_VARIABLES.values(),
}


@asynccontextmanager
async def services(database_url: str = "") -> AsyncIterator[dict[str, str]]:
    """Start both fake servers; yield the variables of a bot that listens on loopback only."""
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        yield {**bot_environ(slack, atlas, database_url), "HOST": "127.0.0.1"}


def test_every_example_is_linked() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    files = [path.name for folder in (DEPLOY, MONITORING) for path in folder.iterdir()]

    assert [name for name in files if name != "README.md" and f"{name})" not in text] == []


# Compose

COMPOSE: Json = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
PASSWORD = "letters4digits"


def interpolated(value: str) -> str:
    """Fill a password in, as compose does from .env."""
    return re.sub(r"\$\{POSTGRES_PASSWORD[^}]*\}", PASSWORD, value)


def of_compose(service: str) -> dict[str, str]:
    given: dict[str, str] = COMPOSE["services"][service]["environment"]
    return {name: interpolated(value) for name, value in given.items()}


def test_compose_sets_only_known_variables() -> None:
    assert set(of_compose("bot")) <= KNOWN_VARIABLES


def test_compose_runs_two_replicas_with_the_least_rights() -> None:
    bot = COMPOSE["services"]["bot"]
    home = next(each for each in bot["tmpfs"] if each.startswith(f"{IMAGE['HOME']}:"))

    assert bot["deploy"] == {"replicas": 2}
    assert bot["read_only"] is True
    assert bot["cap_drop"] == ["ALL"]
    assert bot["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in bot
    assert f"uid={USER}," in home
    assert int(bot["stop_grace_period"].removesuffix("s")) > MAX_SHUTDOWN


# Kubernetes

KUBERNETES: list[Json] = list(
    yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
)


def of_kind(kind: str) -> Json:
    (found,) = (each for each in KUBERNETES if each["kind"] == kind)
    return found


POD: Json = of_kind("Deployment")["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
CONFIG: Json = of_kind("ConfigMap")["data"]
REFERENCES: dict[str, Json] = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in CONTAINER["env"]}


def test_kubernetes_sets_only_known_variables_and_every_value_is_a_text() -> None:
    assert (set(CONFIG) | set(REFERENCES)) - KNOWN_VARIABLES == set()
    assert [value for value in CONFIG.values() if not isinstance(value, str)] == []


def test_secrets_and_only_they_are_references() -> None:
    assert set(CONFIG) & SECRET == set()
    assert set(REFERENCES) - SECRET == set()
    assert {n: {"name": "cancel-restore", "key": n} for n in REFERENCES} == REFERENCES
    assert CONTAINER["envFrom"] == [
        {"configMapRef": {"name": of_kind("ConfigMap")["metadata"]["name"]}}
    ]


def test_pods_run_as_the_images_user_with_the_least_rights() -> None:
    pod, container = POD["spec"]["securityContext"], CONTAINER["securityContext"]

    assert pod["runAsNonRoot"] is True
    assert str(pod["runAsUser"]) == str(pod["runAsGroup"]) == USER
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["spec"]["automountServiceAccountToken"] is False


def test_new_pod_is_ready_before_an_old_one_ends() -> None:
    spec = of_kind("Deployment")["spec"]

    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert POD["spec"]["terminationGracePeriodSeconds"] > MAX_SHUTDOWN


async def test_environment_of_kubernetes_runs_and_answers_its_probes(
    postgres: PostgresServer,
) -> None:
    url = await asyncio.to_thread(postgres.new_database)
    paths = [CONTAINER[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness")]
    paths += [CONTAINER["readinessProbe"]["httpGet"]["path"]]
    paths += [POD["metadata"]["annotations"]["prometheus.io/path"]]
    async with services(url) as filled_in:
        secrets = {name: filled_in[name] for name in REFERENCES}
        elsewhere = {n: v for n, v in filled_in.items() if n.endswith("_URL") or n == "HOST"}
        with BotProcess({**CONFIG, **secrets, **elsewhere}) as process:
            await process.ready()
            answers = {path: await process.status(path) for path in paths}
            code = await process.stop()

    assert answers == dict.fromkeys(("/healthz", "/readyz", "/metrics"), 200)
    assert code == 0


# systemd

UNIT = DEPLOY / "cancel-restore.service"


def unit() -> dict[str, list[str]]:
    """Return the values of each key; a key may occur several times."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"(\w+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


def of_unit() -> dict[str, str]:
    pairs = (pair for line in unit()["Environment"] for pair in shlex.split(line))
    return dict(pair.split("=", 1) for pair in pairs)


def test_unit_sets_only_known_variables() -> None:
    assert set(of_unit()) - KNOWN_VARIABLES == {"HOME", "PYTHONDONTWRITEBYTECODE"}


async def test_command_of_the_unit_runs_and_ends_in_time(tmp_path: Path) -> None:
    (start,), (stop,) = unit()["ExecStart"], unit()["TimeoutStopSec"]
    inside = {n: v.replace("/var/lib/cancel-restore", str(tmp_path)) for n, v in of_unit().items()}
    async with services() as filled_in:
        with BotProcess({**filled_in, **inside}) as process:
            await process.ready()
            code = await process.stop(float(stop))

    assert start.split()[1:] == ["serve"]
    assert code == 0
    assert int(stop) > MAX_SHUTDOWN
    assert (tmp_path / "cancel-restore.db").exists()


async def test_unit_is_not_restarted_after_wrong_settings() -> None:
    ran = await run_command("serve")

    assert unit()["RestartPreventExitStatus"] == [str(ran.code)]


# Monitoring

RULES: list[Json] = [
    rule
    for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD: Json = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
QUERIES = [rule["expr"] for rule in RULES]
QUERIES += [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]

#: The label with which the replicas are scraped.
JOB = 'job="cancel-restore"'


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


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_names_series_of_the_bot_only(query: str) -> None:
    named = re.findall(r"(\w+)\{([^}]*)\}", query)

    assert {name for name, _ in named} - series() == set()
    assert named
    assert all(JOB in labels for _, labels in named)
    assert query.count("(") == query.count(")")


@pytest.mark.parametrize("query", QUERIES)
def test_states_in_queries_exist(query: str) -> None:
    named = re.findall(r'state="(\w+)"', query)

    assert set(named) - set(State) == set()


def test_every_final_state_that_needs_a_person_has_an_alert() -> None:
    alerted = {state for rule in RULES for state in re.findall(r'state="(\w+)"', rule["expr"])}

    assert alerted == {"failed", "refused", "changed"}
