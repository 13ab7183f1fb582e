"""PgBouncer, a pooler, in front of a PostgreSQL server."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.postgres import account, start_on_free_port
from tests.support.required_programs import needs

#: Seconds in which it must take connections.
START_TIMEOUT = 10.0
CONFIG = """
[databases]
* = host=127.0.0.1 port={to_port} user=bot
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
"""


@contextmanager
def pgbouncer(to_port: int, mode: str) -> Iterator[int]:
    """Run PgBouncer with this `pool_mode` and else its defaults, and yield its port."""
    program = needs("pgbouncer")
    user = account()  # it refuses root too
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as path:
        file = Path(path, "pgbouncer.ini")
        Path(path).chmod(0o755)

        def start(port: int) -> tuple[subprocess.Popen[bytes], int]:
            file.write_text(CONFIG.format(port=port, to_port=to_port, mode=mode))
            process = subprocess.Popen(
                [program, "--quiet", file], user=user, cwd=path, stdin=subprocess.DEVNULL
            )
            _wait(process, port)
            return process, port

        process, port = start_on_free_port(start)
        try:
            yield port
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_TIMEOUT
    while time.monotonic() < until:
        if process.poll() is not None:
            raise ChildProcessError(f"pgbouncer has ended with {process.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise TimeoutError("pgbouncer takes no connections")
