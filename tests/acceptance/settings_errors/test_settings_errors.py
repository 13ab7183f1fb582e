"""The process ends with exit code 2 and all problems of its settings at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.settings import ENOUGH, PROJECT

SHOP = f'[[projects]]\nname = "shop"\nid = "{PROJECT}"\n'


@pytest.mark.parametrize(
    ("environ", "files", "names"),
    [
        (
            {},
            {},
            [
                "SLACK_BOT_TOKEN",
                "SLACK_APP_TOKEN",
                "MONGODB_ATLAS_PROJECT_ID",
                "MONGODB_ATLAS_PUBLIC_API_KEY",
                ".env",
            ],
        ),
        (
            {**ENOUGH, "SLACK_APP_TOKEN": "xoxb-sesame", "PORT": "http", "BOT_CHANNEL": "#ops"},
            {},
            ["PORT", "SLACK_APP_TOKEN", "BOT_CHANNEL", ".env"],
        ),
        (
            {**ENOUGH, "BOT_APPROVALS": "9"},
            {".env": "BOT_APPROVALS=1\nBOT_WATCH_INTERVAL=0\nBOT_READ_ONLY true\n"},
            [".env", "BOT_WATCH_INTERVAL", "BOT_APPROVALS"],
        ),
        (
            {**ENOUGH, "BOT_PROJECTS_FILE": "projects.toml", "HOST": "http://sesame"},
            {"projects.toml": f"{SHOP}approvals = 9\nprivate_key = 'sesame'\n"},
            ["HOST", "BOT_PROJECTS_FILE", "BOT_PROJECTS_FILE", ".env"],
        ),
        (
            {**ENOUGH, "BOT_PROJECTS_FILE": "projects.toml", "BOT_SHOP_PUBLIC": "shopkey1"},
            {
                "projects.toml": f"{SHOP}aproval = 1\nauto_cancel_after = 60\n"
                "public_key_env = 'BOT_SHOP_PUBLIC'\nprivate_key_env = 'SHOP_PRIVATE'\n"
                "[[projects]]\nname = 'test'\nclient_id_env = 'sesame'\n"
                "client_secret_env = 'TEST_SECRET'\n"
            },
            [*["BOT_PROJECTS_FILE"] * 7, ".env"],
        ),
    ],
    ids=[
        "no variable",
        "several variables",
        "in .env",
        "in the projects file",
        "in the projects file and in the variables that it names",
    ],
)
def test_wrong_settings_end_serve_with_2_and_all_sentences_at_once(
    tmp_path: Path, environ: dict[str, str], files: dict[str, str], names: list[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "bot", "serve"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environ},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 2
    assert ran.stdout == ""
    assert [line.split(" ")[0].rstrip(",:") for line in ran.stderr.splitlines()] == names
    assert "sesame" not in ran.stderr
    assert not (tmp_path / "cancel-restore.db").exists()
