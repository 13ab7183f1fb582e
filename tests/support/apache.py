"""Apache httpd with mod_auth_digest as Atlas: an independent digest server, on loopback."""

import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from bot.atlas import ApiVersion, DigestKey, JobRef
from tests.support.atlas_client import AtlasClient
from tests.support.certificate import certify
from tests.support.postgres import start_on_free_port

REF = JobRef("5b6212af90dc76637950a2c6", "MyCluster", "5b622f7087d9d6039fafe03f")
KEY = DigestKey("abcdefgh", SecretStr("c0ffee00-private"))
REALM = "MMS Public API"
MODULES = Path("/usr/lib/apache2/modules")

#: Seconds in which it must take connections, and in which it must have written its log.
START_TIMEOUT = 10.0
WRITTEN = 5.0

JOB = (
    '{"cancelled":false,"deliveryType":"download","deliveryUrl":[],"expired":false,'
    '"failed":false,"id":"5b622f7087d9d6039fafe03f","snapshotId":"5b622f7087d9d6039fafe000",'
    '"timestamp":"2026-11-01T10:00:00Z"}'
)

# Digest is required before the rewriting, so only a client with the key sees a 204 or the job. By
# default httpd remembers no more than about seven clients, and forgets the others' counts.
CONFIG = """
ServerRoot "{root}"
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile "{root}/pid"
ErrorLog "{root}/error.log"
LogFormat "%m %>s" short
CustomLog "{root}/access.log" short
LogFormat "%U" path
CustomLog "{root}/paths.log" path
{user}
{modules}
{tls}
<IfModule mpm_event_module>
    StartServers 1
    ThreadsPerChild 32
    MaxRequestWorkers 32
    ServerLimit 1
</IfModule>
KeepAlive On
MaxKeepAliveRequests 0
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

TLS = """
LoadModule ssl_module "{modules}/mod_ssl.so"
SSLEngine on
SSLCertificateFile "{root}/certificate.pem"
SSLCertificateKeyFile "{root}/key.pem"
"""

NEEDED = ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_digest"]
NEEDED += ["alias", "rewrite"]


@dataclass(frozen=True, slots=True)
class Apache:
    """A running httpd and where it writes."""

    url: str
    root: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def certificate(self) -> Path:
        return self.root / "certificate.pem"

    def client(self, key: DigestKey = KEY, version: ApiVersion = ApiVersion.V2) -> AtlasClient:
        return AtlasClient(key, base_url=self.url, version=version)

    def log(self, requests: int) -> list[str]:
        """Return the access log once it has `requests` lines: Apache writes after it answered."""
        until = time.monotonic() + WRITTEN
        while len(lines := self._lines("access.log")) < requests and time.monotonic() < until:
            time.sleep(0.01)
        return lines

    def paths(self) -> list[str]:
        """Return the paths that were requested so far, challenges included."""
        return self._lines("paths.log")

    def _lines(self, name: str) -> list[str]:
        return (self.root / name).read_text(encoding="utf-8").splitlines()


@contextmanager
def running_apache(
    program: str, *, lifetime: int = 300, counts: str = "Off", tls: bool = False
) -> Iterator[Apache]:
    """Start httpd in the foreground, and end it by its own process.

    Args:
        program: where `apache2` is.
        lifetime: seconds for which a nonce lives.
        counts: `AuthDigestNcCheck`.
        tls: speak HTTPS, with the certificate in `Apache.certificate`, which is its own authority.
    """
    # httpd's own user must be able to read it; pytest's folders belong to the test's user.
    with tempfile.TemporaryDirectory(prefix="httpd-") as path:
        root = Path(path)
        root.chmod(0o755)

        def start(port: int) -> tuple[subprocess.Popen[bytes], int]:
            _write(root, port, lifetime, counts, tls=tls)
            return _start(program, root), port

        process, port = start_on_free_port(start)
        try:
            yield Apache(f"{'https' if tls else 'http'}://127.0.0.1:{port}", root)
        finally:
            process.terminate()
            process.wait(timeout=20)


def _write(root: Path, port: int, lifetime: int, counts: str, *, tls: bool) -> None:
    (root / "htdocs").mkdir(exist_ok=True)
    (root / "htdocs" / "job.json").write_text(JOB, encoding="utf-8")
    secret = KEY.secret.get_secret_value()
    line = f"{KEY.key_id}:{REALM}:{secret}"
    hashed = hashlib.md5(line.encode(), usedforsecurity=False).hexdigest()
    (root / "users").write_text(f"{KEY.key_id}:{REALM}:{hashed}\n", encoding="utf-8")
    config = CONFIG.format(
        root=root,
        port=port,
        realm=REALM,
        lifetime=lifetime,
        counts=counts,
        user=_user(),
        modules="\n".join(_load(name) for name in NEEDED),
        tls=TLS.format(modules=MODULES, root=root) if tls else "",
    )
    if tls:
        certify(root)
    (root / "httpd.conf").write_text(config, encoding="utf-8")


def _load(name: str) -> str:
    return f'LoadModule {name}_module "{MODULES}/mod_{name}.so"'


def _user() -> str:
    """Started by root, httpd serves as another user."""
    return "User www-data\nGroup www-data" if os.geteuid() == 0 else ""


def _start(program: str, root: Path) -> subprocess.Popen[bytes]:
    """Start httpd; it writes its process id once it has the port."""
    command = [program, "-f", str(root / "httpd.conf"), "-D", "FOREGROUND"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    until = time.monotonic() + START_TIMEOUT
    while time.monotonic() < until and process.poll() is None:
        if (root / "pid").exists():
            return process
        time.sleep(0.02)
    process.kill()
    process.wait()
    log = root / "error.log"
    raise ChildProcessError(f"httpd did not start: {log.read_text() if log.exists() else 'no log'}")
