"""The digest login against Apache httpd's mod_auth_digest, a server that is not ours."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from pydantic import SecretStr

from bot.atlas import ApiVersion, AtlasClient, DigestKey, JobRef, KeyRefused
from tests.needs import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

REF = JobRef("5b6212af90dc76637950a2c6", "MyCluster", "5b622f7087d9d6039fafe03f")
KEY = DigestKey("abcdefgh", SecretStr("c0ffee00-private"))
REALM = "MMS Public API"
MODULES = Path("/usr/lib/apache2/modules")

JOB = (
    '{"cancelled":false,"deliveryType":"download","deliveryUrl":[],"expired":false,'
    '"failed":false,"id":"5b622f7087d9d6039fafe03f","snapshotId":"5b622f7087d9d6039fafe000",'
    '"timestamp":"2026-11-01T10:00:00Z"}'
)

# Digest is asked for before the rewriting, so only who knows the key sees a 204 or the job. By
# default httpd remembers no more than about seven clients, and forgets the others' counts.
CONFIG = """
ServerRoot "{root}"
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile "{root}/pid"
ErrorLog "{root}/error.log"
LogFormat "%m %>s" short
CustomLog "{root}/access.log" short
{user}
{modules}
<IfModule mpm_event_module>
    StartServers 1
    ThreadsPerChild 32
    MaxRequestWorkers 32
    ServerLimit 1
</IfModule>
KeepAlive On
AuthDigestShmemSize 100K
DocumentRoot "{root}/htdocs"
<Directory "{root}/htdocs">
    AuthType Digest
    AuthName "{realm}"
    AuthDigestProvider file
    AuthUserFile "{root}/users"
    AuthDigestNonceLifetime {lifetime}
    AuthDigestNcCheck {counts}
    Require valid-user
    ForceType application/json
    RewriteEngine On
    RewriteCond %{{REQUEST_METHOD}} =DELETE
    RewriteRule .* - [R=204,L]
    RewriteCond %{{REQUEST_URI}} !=/job.json
    RewriteRule .* /job.json [L]
</Directory>
AliasMatch "^/api/atlas/.*$" "{root}/htdocs/job.json"
"""

NEEDED = ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_digest"]
NEEDED += ["alias", "rewrite"]


@dataclass
class Apache:
    """A running httpd and where it writes."""

    url: str
    root: Path

    def client(self, key: DigestKey = KEY, version: ApiVersion = ApiVersion.V2) -> AtlasClient:
        return AtlasClient(key, base_url=self.url, version=version)

    def log(self, requests: int) -> list[str]:
        """Return the access log once it has `requests` lines: Apache writes after it answered."""
        until = time.monotonic() + 5
        while len(lines := self._lines()) < requests and time.monotonic() < until:
            time.sleep(0.01)
        return lines

    def _lines(self) -> list[str]:
        return (self.root / "access.log").read_text(encoding="utf-8").splitlines()


class Starter(Protocol):
    """Starts httpd with a nonce's life in seconds, and with or without AuthDigestNcCheck."""

    def __call__(self, *, lifetime: int = 300, counts: str = "Off") -> Apache: ...


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that httpd's own user can read; pytest's are for the one who runs the tests."""
    with tempfile.TemporaryDirectory(prefix="httpd-") as path:
        root = Path(path)
        root.chmod(0o755)
        yield root


@pytest.fixture
def apache(folder: Path) -> Iterator[Starter]:
    """Start httpd in the foreground; end it by its own process."""
    program = needs("apache2")
    running: list[subprocess.Popen[bytes]] = []

    def start(*, lifetime: int = 300, counts: str = "Off") -> Apache:
        port = _free_port()
        _write(folder, port, lifetime, counts)
        command = [str(program), "-f", str(folder / "httpd.conf"), "-D", "FOREGROUND"]
        running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        _wait_for(port, running[-1], folder)
        return Apache(f"http://127.0.0.1:{port}", folder)

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _write(root: Path, port: int, lifetime: int, counts: str) -> None:
    (root / "htdocs").mkdir()
    (root / "htdocs" / "job.json").write_text(JOB, encoding="utf-8")
    secret = KEY.private_key.get_secret_value()
    line = f"{KEY.public_key}:{REALM}:{secret}"
    hashed = hashlib.md5(line.encode(), usedforsecurity=False).hexdigest()
    (root / "users").write_text(f"{KEY.public_key}:{REALM}:{hashed}\n", encoding="utf-8")
    config = CONFIG.format(
        root=root,
        port=port,
        realm=REALM,
        lifetime=lifetime,
        counts=counts,
        user=_user(),
        modules="\n".join(_load(name) for name in NEEDED),
    )
    (root / "httpd.conf").write_text(config, encoding="utf-8")


def _load(name: str) -> str:
    return f'LoadModule {name}_module "{MODULES}/mod_{name}.so"'


def _user() -> str:
    """Started by root, httpd serves as another user."""
    return "User www-data\nGroup www-data" if os.geteuid() == 0 else ""


def _wait_for(port: int, process: subprocess.Popen[bytes], root: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    log = root / "error.log"
    pytest.fail(f"httpd did not start: {log.read_text() if log.exists() else 'no log'}")


@pytest.mark.parametrize("counts", ["Off", "On"])
async def test_a_warm_cancel_is_three_requests(apache: Starter, counts: str) -> None:
    server = apache(counts=counts)
    async with server.client() as atlas:
        await atlas.restore_job(REF)
        await atlas.restore_job(REF)
        accepted = await atlas.cancel_restore_job(REF)
        await atlas.restore_job(REF)

    assert accepted.status == 204
    assert server.log(5) == ["GET 401", "GET 200", "GET 200", "DELETE 204", "GET 200"]


@pytest.mark.parametrize("version", list(ApiVersion))
async def test_a_first_cancel_of_either_version_is_four_requests(
    apache: Starter, version: ApiVersion
) -> None:
    server = apache()
    async with server.client(version=version) as atlas:
        await atlas.restore_job(REF)
        await atlas.cancel_restore_job(REF)
        await atlas.restore_job(REF)

    assert server.log(4) == ["GET 401", "GET 200", "DELETE 204", "GET 200"]


@pytest.mark.parametrize("counts", ["Off", "On"])
async def test_twenty_calls_at_once_are_refused_only_for_their_first_nonce(
    apache: Starter, counts: str
) -> None:
    server = apache(counts=counts)
    async with server.client() as atlas:
        for _ in range(11):
            jobs = await asyncio.gather(*(atlas.restore_job(REF) for _ in range(20)))
    log = server.log(240)

    assert {job.id for job in jobs} == {REF.job_id}
    assert (log.count("GET 401"), log.count("GET 200")) == (20, 220)


@pytest.mark.parametrize("counts", ["Off", "On"])
async def test_a_nonce_that_expires_before_the_delete_costs_one_handshake(
    apache: Starter, counts: str
) -> None:
    server = apache(lifetime=1, counts=counts)
    async with server.client() as atlas:
        await atlas.restore_job(REF)
        await asyncio.sleep(1.2)
        accepted = await atlas.cancel_restore_job(REF)

    assert accepted.status == 204
    assert server.log(4) == ["GET 401", "GET 200", "DELETE 401", "DELETE 204"]


async def test_twenty_expired_nonces_at_once_are_all_renewed(apache: Starter) -> None:
    server = apache(lifetime=1, counts="On")
    async with server.client() as atlas:
        await asyncio.gather(*(atlas.restore_job(REF) for _ in range(20)))
        await asyncio.sleep(1.2)
        jobs = await asyncio.gather(*(atlas.restore_job(REF) for _ in range(20)))

    assert len(jobs) == 20
    assert server.log(80).count("GET 200") == 40


async def test_a_wrong_key_is_two_requests_each_time(apache: Starter) -> None:
    server = apache()
    async with server.client(DigestKey("abcdefgh", SecretStr("wrong"))) as atlas:
        with pytest.raises(KeyRefused):
            await atlas.restore_job(REF)
        with pytest.raises(KeyRefused):
            await atlas.cancel_restore_job(REF)

    assert server.log(4) == ["GET 401", "GET 401", "DELETE 401", "DELETE 401"]


async def test_a_wrong_key_leaves_other_clients_alone(apache: Starter) -> None:
    server = apache(counts="On")
    wrong = server.client(DigestKey("stranger", SecretStr("wrong")))
    async with server.client() as atlas, wrong:
        await atlas.restore_job(REF)
        with pytest.raises(KeyRefused):
            await wrong.restore_job(REF)
        await atlas.restore_job(REF)

    assert server.log(5) == ["GET 401", "GET 200", "GET 401", "GET 401", "GET 200"]
