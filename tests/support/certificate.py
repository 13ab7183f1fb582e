"""Makes a TLS certificate of 127.0.0.1, which is its own authority."""

import subprocess
from pathlib import Path


def certify(folder: Path) -> Path:
    """Write `certificate.pem` and `key.pem`, and return the path of the certificate."""
    certificate = folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate
