"""The examples of Compose, Kubernetes and systemd are valid, and the bot runs with them."""

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

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.settings.load import VARIABLES
from tests.support.environ import bot_environ
from tests.support.process import BotProcess, run_command
from tests.support.required_programs import needs

Json = dict[str, Any]

DEPLOY = Path("docs/deploy")
USER = "10001"  #: of the image
MAX_SHUTDOWN = 5  #: documented, in seconds
SECRETS = {
    "DATABASE_URL",
    "SLACK_BOT_TOKEN",
    "SLACK_APP_TOKEN",
    "MONGODB_ATLAS_PUBLIC_API_KEY",
    "MONGODB_ATLAS_PRIVATE_API_KEY",
}


@asynccontextmanager
async def services(database_url: str) -> AsyncIterator[dict[str, str]]:
    """Start both stand-ins; yield the variables of a bot that listens on loopback only."""
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        yield {**bot_environ(slack, atlas, database_url), "HOST": "127.0.0.1"}


def output(program: Path, *arguments: str | Path, cwd: Path | None = None) -> str:
    """Return the output of a program, which must end with 0."""
    result = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )

    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_user_of_the_image_is_the_one_of_the_examples() -> None:
    assert f"\nUSER {USER}:{USER}\n" in Path("Dockerfile").read_text(encoding="utf-8")


# Compose


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


def test_compose_runs_a_standby_with_the_least_rights() -> None:
    bot = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]["bot"]

    assert set(bot["environment"]) <= set(VARIABLES)
    assert bot["deploy"] == {"replicas": 2}
    assert bot["read_only"] is True
    assert bot["cap_drop"] == ["ALL"]
    assert bot["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in bot
    assert any(item.startswith(f"/data:uid={USER},") for item in bot["tmpfs"])
    assert int(bot["stop_grace_period"].removesuffix("s")) > MAX_SHUTDOWN


# Kubernetes

KUBERNETES: dict[str, Json] = {
    item["kind"]: item
    for item in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
}
DEPLOYMENT: Json = KUBERNETES["Deployment"]["spec"]
POD: Json = DEPLOYMENT["template"]
(CONTAINER,) = POD["spec"]["containers"]
CONFIG: Json = KUBERNETES["ConfigMap"]["data"]
REFERENCES: dict[str, Json] = {
    item["name"]: item["valueFrom"]["secretKeyRef"] for item in CONTAINER["env"]
}

#: The oldest maintained version, and the newest with a schema here.
VERSIONS = ("1.30", kubernetes_validate.latest_version())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KUBERNETES)
def test_kubernetes_manifest_matches_the_schema(kind: str, version: str) -> None:
    thing = KUBERNETES[kind]
    kubernetes_validate.validate(thing, version, strict=True)

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**thing, "mistyped": 1}, version, strict=True)


def test_secrets_and_only_they_are_references() -> None:
    assert set(CONFIG) <= set(VARIABLES) - SECRETS
    assert set(REFERENCES) == SECRETS
    assert {name: {"name": "cancel-restore", "key": name} for name in REFERENCES} == REFERENCES
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


def test_new_process_is_a_standby_before_an_old_one_ends() -> None:
    assert DEPLOYMENT["replicas"] == 2
    assert DEPLOYMENT["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert CONTAINER["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert POD["spec"]["terminationGracePeriodSeconds"] > MAX_SHUTDOWN


async def test_environment_of_kubernetes_runs_and_answers_its_probes(on_postgres: str) -> None:
    paths = {
        CONTAINER[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "liveness", "readiness")
    }
    paths.add("/metrics")
    async with services(on_postgres) as filled_in:
        secrets = {name: filled_in[name] for name in REFERENCES}
        local = {name: filled_in[name] for name in filled_in if name.endswith("_URL")}
        with BotProcess({**CONFIG, **secrets, **local, "HOST": "127.0.0.1"}) as process:
            await process.ready()
            answers = {path: await process.status(path) for path in paths}
            code = await process.stop(MAX_SHUTDOWN)

    assert answers == dict.fromkeys(("/healthz", "/readyz", "/metrics"), 200)
    assert code == 0


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
    copy.write_text(re.sub(r"(?m)^EnvironmentFile=", "EnvironmentFile=-", text))

    assert output(needs("systemd-analyze", "systemd"), "verify", copy) == ""


def test_systemd_rates_the_exposure_of_the_unit_below_two_of_ten() -> None:
    analyze = needs("systemd-analyze", "systemd")
    judged = output(analyze, "security", "--offline=yes", "--no-pager", UNIT)
    (figure,) = re.findall(rf"Overall exposure level for {UNIT.name}: (\d\.\d) OK", judged)

    assert float(figure) < 2


async def test_command_of_the_unit_runs_and_ends_in_time() -> None:
    (start,), (stop,) = unit()["ExecStart"], unit()["TimeoutStopSec"]
    given = dict(item.split("=", 1) for line in unit()["Environment"] for item in shlex.split(line))
    async with services("sqlite:///bot.db") as filled_in:
        with BotProcess({**filled_in, "LOG_FORMAT": given["LOG_FORMAT"]}) as process:
            await process.ready()
            code = await process.stop(MAX_SHUTDOWN)

    assert set(given) - set(VARIABLES) == {"HOME", "PYTHONDONTWRITEBYTECODE"}
    assert start.split()[1:] == ["serve"]
    assert code == 0
    assert int(stop) > MAX_SHUTDOWN


async def test_unit_is_not_restarted_after_wrong_settings() -> None:
    ran = await run_command("serve")

    assert unit()["RestartPreventExitStatus"] == [str(ran.code)]
