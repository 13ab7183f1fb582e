"""No secret is in an error, a warning or a `repr`, wherever it was put."""

import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.settings import SettingsError, load_settings
from bot.settings.load import VARIABLES
from tests.support.settings import ENOUGH, PROJECT, load

PASSWORD = "Pass7word"
SECRETS = {
    "SLACK_BOT_TOKEN": "xoxb-7-bot-secret",
    "SLACK_APP_TOKEN": "xapp-7-app-secret",
    "MONGODB_ATLAS_PRIVATE_API_KEY": "c0ffee00-0000-4000-8000-00private000",
    "DATABASE_URL": f"postgresql://bot:{PASSWORD}@db/x?sslpassword=ssl7word",
}


def test_settings_list_their_secrets_and_do_not_print_them() -> None:
    settings = load(**SECRETS)
    listed = {secret.get_secret_value() for secret in settings.secrets}
    secrets = {
        *(value for name, value in SECRETS.items() if name != "DATABASE_URL"),
        PASSWORD,
        "ssl7word",
    }

    assert listed == secrets
    assert not any(secret in f"{settings!r} {settings}" for secret in secrets)


#: A secret as people paste it: a token, a key or a password, with a form that some setting takes.
secrets = st.builds(
    lambda beginning, middle, end: f"{beginning}{middle}7e57{end}",
    st.sampled_from(["", "xoxb-", "xapp-", "mdb_sa_sk_", "postgresql://u:", "https://u:", "U"]),
    st.text("0123456789abcdefABCDEF-", min_size=6, max_size=30),
    st.sampled_from(["", " ", "@db:x/y", "@host", ",", "\n"]),
)


#: The path of the projects file is in its sentences, so that people find the file.
variables = st.sampled_from(sorted(VARIABLES.keys() - {"BOT_PROJECTS_FILE"}))


@given(values=st.dictionaries(variables, secrets, min_size=1, max_size=6))
def test_misplaced_secret_is_in_no_problem_of_variables(values: dict[str, str]) -> None:
    try:
        settings = load_settings(ENOUGH | values, needs_slack=True)
    except SettingsError as error:
        text = "".join(traceback.format_exception(error))
    else:
        text = "".join(settings.warnings)

    assert not any(value.strip() in text for value in values.values())


@pytest.mark.parametrize(
    "key", ["private_key", "private_key_env", "client_secret", "client_secret_env", "channel", "id"]
)
def test_misplaced_secret_is_in_no_problem_of_the_file(tmp_path: Path, key: str) -> None:
    secret = SECRETS["MONGODB_ATLAS_PRIVATE_API_KEY"]
    file = tmp_path / "projects.toml"
    keys = {"name": "shop", "id": PROJECT, key: secret}
    table = "".join(f'{name} = "{value}"\n' for name, value in keys.items())
    file.write_text(f"[[projects]]\n{table}", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(BOT_PROJECTS_FILE=str(file))

    assert key in str(caught.value)
    assert secret not in "".join(traceback.format_exception(caught.value))
