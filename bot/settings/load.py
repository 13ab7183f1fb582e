"""Read environment, `.env` and projects file into `Settings`, and warn about risky ones."""

import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from dotenv import dotenv_values
from pydantic.fields import FieldInfo

from bot.atlas import ApiVersion
from bot.cancellation.cluster_entries import hidden_entries
from bot.cancellation.people import NO_ONE
from bot.cancellation.policy import REMIND_AFTER, Mode, Policy
from bot.settings.credentials import CredentialSettings
from bot.settings.model import AtlasSettings, AuditWebhookSettings, Settings, SlackSettings, unread
from bot.settings.parsers import Model, read
from bot.settings.policy import DefaultPolicy, OrganizationSettings, PolicyHolder, ProjectSettings
from bot.settings.projects import read_projects

#: The models that read variables, in the order of the table in docs/settings.md.
MODELS: tuple[type[Model], ...] = (
    SlackSettings,
    CredentialSettings,
    AtlasSettings,
    DefaultPolicy,
    Settings,
    AuditWebhookSettings,
)


def variables() -> dict[str, FieldInfo]:
    fields = (field for model in MODELS for field in model.model_fields.values())
    return {str(field.alias): field for field in fields if field.description}


#: Every variable that is read, except those that the projects file names.
KNOWN_VARIABLES = frozenset(variables())
#: Variables of other programs with a name almost like a setting's.
OF_OTHERS = frozenset({"SLACK_API_TOKEN"})
_SIGNING_SECRET = re.compile(r"[0-9a-f]{32}")
_QUOTED = re.compile(r"""(["']).*\1""", re.DOTALL)


class SettingsError(Exception):
    """The settings have `problems`; each is a sentence that names the variable and the fix."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def load_settings(
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
    *,
    needs_slack: bool = True,
) -> Settings:
    """Read the settings from `environ` and `.env`.

    `.env` and a relative `BOT_PROJECTS_FILE` are in `folder`, by default the working directory.
    Without `needs_slack`, Slack's variables may be missing. Raises `SettingsError`.
    """
    problems: list[str] = []
    folder = folder or Path.cwd()
    file = folder / ".env"
    given = read_environment(environ, file, KNOWN_VARIABLES, problems)
    settings = read(Settings, given, problems)
    if needs_slack:
        problems.extend(missing_slack_variables(given))
    slack = read(SlackSettings, given, problems)
    atlas = read(AtlasSettings, given, problems)
    audit_webhook = read_audit_webhook(given, problems)
    holders, named = read_projects(atlas.project_id, given, folder, problems)
    missing = KNOWN_VARIABLES - given.keys() if problems else frozenset[str]()
    unknown = unknown_variables(given.keys() - KNOWN_VARIABLES - OF_OTHERS - named, missing)
    if problems:
        raise SettingsError([*problems, *unknown])
    return settings.model_copy(
        update={
            "slack": slack,
            "atlas": atlas,
            "projects": tuple(p for p in holders if isinstance(p, ProjectSettings)),
            "organizations": tuple(o for o in holders if isinstance(o, OrganizationSettings)),
            "audit_webhook": audit_webhook,
            "risks": (*env_file_risks(file), *unused_variables(given), *unknown),
        }
    )


def load_database_url(environ: Mapping[str, str] = os.environ, folder: Path | None = None) -> str:
    """Read `DATABASE_URL` alone; other variables are not checked. Raises `SettingsError`."""
    name, problems = "DATABASE_URL", list[str]()
    # A user who verifies a copy of the database may lack access to the bot's `.env`.
    file = None if name in environ else (folder or Path.cwd()) / ".env"
    given = read_environment(environ, file, {name}, problems)
    settings = read(Settings, {name: given[name]} if name in given else {}, problems)
    if problems:
        raise SettingsError(problems)
    return settings.database_url.get_secret_value()


def read_environment(
    environ: Mapping[str, str], file: Path | None, names: Iterable[str], problems: list[str]
) -> Mapping[str, str]:
    """Return the variables that have a value; those of `environ` replace those of `file`.

    An empty variable counts as not set, and hides the one of `file`. Names are upper case.
    The variables `names` are checked for what no setting has.
    """
    merged = {**(read_env_file(file, os.geteuid(), problems) if file else {}), **environ}
    given = {name: (value or "").strip() for name, value in merged.items() if name.isupper()}
    for name in sorted(given.keys() & set(names)):
        given[name] = _clean(name, given[name], problems)
    return {name: value for name, value in given.items() if value}


def read_env_file(path: Path, user: int, problems: list[str]) -> Mapping[str, str | None]:
    """Return its variables, none without a file, and add lines that set none to `problems`.

    Raises `SettingsError` alone: what else would be missing may be in the file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for its writer
            raise SettingsError([f"{path} cannot be read: it must be a regular file"])
        with path.open(encoding="utf-8-sig") as file:
            if refusal := env_file_refusal(path, path.lstat(), os.fstat(file.fileno()), user):
                raise SettingsError([refusal])
            problems += (f"{path}, {line}" for line in unread(file, KNOWN_VARIABLES))
            file.seek(0)
            return dotenv_values(stream=file)
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        why = ": it must be a text file in UTF-8"
    except OSError as error:
        why = f" ({error.strerror}): it must be a file that this account may read"
    raise SettingsError([f"{path} cannot be read{why}"])


def _clean(name: str, value: str, problems: list[str]) -> str:
    """Report undecodable bytes and quotation marks; return the value without them."""
    text = value.encode(errors="replace").decode()
    if text != value:
        problems.append(f"{name} is not in UTF-8: set it again in that encoding")
    # `docker run --env-file` passes quotation marks on, unlike a shell and `.env`.
    if _QUOTED.fullmatch(text):
        problems.append(f"{name} has quotation marks around its value: remove them")
        text = text[1:-1].strip()
    return text


def env_file_refusal(file: Path, link: os.stat_result, target: os.stat_result, user: int) -> str:
    """Return why the file is not read, or nothing: its addresses decide where secrets are sent.

    `link` is the status of the file itself, maybe a link to the `target`; `user` is this account.
    """
    path, check = shlex.quote(str(file)), "is not read: check what is in it, and run"
    is_link = stat.S_ISLNK(link.st_mode)
    if is_link and link.st_uid not in {0, user}:
        link_of = "is a link that belongs to another account and"
        return f"{file} {link_of} {check} chown -h {user} {path}"
    named = f"{file} links to {file.resolve()}, which" if is_link else str(file)
    if target.st_uid not in {0, user}:
        return f"{named} belongs to another account and {check} chown {user} {path}"
    if target.st_mode & stat.S_IWOTH:
        return f"{named} can be written by every account and {check} chmod 600 {path}"
    return ""


def env_file_risks(file: Path) -> Iterator[str]:
    """Say whether other accounts may read the file, or its group may write it."""
    try:
        mode = file.stat().st_mode
    except OSError:
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        path = shlex.quote(str(file))
        yield f"{file} is open to other accounts of this machine: run chmod 600 {path}."


def missing_slack_variables(given: Mapping[str, str]) -> Iterator[str]:
    if "SLACK_BOT_TOKEN" not in given:
        yield (
            "SLACK_BOT_TOKEN is not set: "
            "give the Bot User OAuth Token (xoxb-…), in Slack under OAuth & Permissions"
        )
    if not given.keys() & {"SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET"}:
        yield (
            "Neither SLACK_APP_TOKEN nor SLACK_SIGNING_SECRET is set: "
            "give the app token (xapp-…) for Socket Mode, or the signing secret for HTTP"
        )


def read_audit_webhook(
    given: Mapping[str, str], problems: list[str]
) -> AuditWebhookSettings | None:
    names = [str(field.alias) for field in AuditWebhookSettings.model_fields.values()]
    missing = [name for name in names if name not in given]
    if len(missing) == len(names):
        return None
    problems.extend(
        f"{name} is not set: the audit webhook needs an address and a secret" for name in missing
    )
    return read(AuditWebhookSettings, given, problems)


def unused_variables(given: Mapping[str, str]) -> Iterator[str]:
    if given.keys() >= {"BOT_PROJECTS_FILE", "MONGODB_ATLAS_PROJECT_ID"}:
        yield "MONGODB_ATLAS_PROJECT_ID has no effect here: another setting replaces it."


def unknown_variables(names: Iterable[str], missing: Iterable[str] = ()) -> Iterator[str]:
    """Report those that seem to be meant for the bot, each with the most similar settings.

    One that lacks a word of a setting is reported only while that setting is `missing`.
    """
    for name in sorted(names):
        is_own = name.startswith("BOT_")
        if is_own or name.startswith(("SLACK_", "MONGODB_", "ATLAS_")):
            # Other programs have such variables, too; the ratio is that of one changed letter.
            cutoff = 0.6 if is_own else (len(name) - 1) / len(name)
            nearest = get_close_matches(name, KNOWN_VARIABLES, n=1, cutoff=cutoff)
            nearest = nearest or [each for each in sorted(missing) if lacks_a_word(name, each)]
            hint = f" (did you mean {' or '.join(nearest)}?)" if nearest else ""
            if is_own or nearest:
                yield f"{name}{hint} is not a setting of the bot and has no effect."


def lacks_a_word(name: str, setting: str) -> bool:
    """Whether a name is that of the setting without one word, besides the prefix of Atlas's."""
    words, wanted = ({*each.removeprefix("MONGODB_").split("_")} for each in (name, setting))
    return words <= wanted and len(wanted - words) <= 1


def warnings(settings: Settings) -> list[str]:
    """Return one sentence for each risk of `settings`."""
    return [
        *settings.risks,
        *_service_warnings(settings),
        *_project_warnings(settings.policy_holders),
        *_hidden_entries(settings.policy_holders),
        *_quarantine_warnings(settings),
    ]


#: The end of the same list in v2's version 2023-01-01; none is announced for v1.0 as a whole.
V1_ENDS = (
    "MONGODB_ATLAS_API_VERSION is v1.0, whose list of clusters may end on 2027-07-01: then the "
    "watch and the search find no download. Remove the variable, which selects v2."
)


def _service_warnings(settings: Settings) -> Iterator[str]:
    """Check the signing secret's form, which Slack cannot be asked about, and Atlas's version."""
    slack = settings.slack
    secret = None if slack.app_token else slack.signing_secret
    if secret and not _SIGNING_SECRET.fullmatch(secret.get_secret_value()):
        yield (
            "SLACK_SIGNING_SECRET does not have the 32 hexadecimal digits of Slack's signing "
            "secrets: compare it with Basic Information."
        )
    if settings.atlas.api_version is ApiVersion.V1:
        yield V1_ENDS


SHORTEST_WAIT = 150  #: seconds between the start of a download and its link, at least
#: Seconds that a cancellation may need, with the delivery of the announcement before it.
LEAST_LEFT = 30


def _quarantine_warnings(settings: Settings) -> Iterator[str]:
    """Name the projects whose quarantined downloads may have their link before they end."""
    interval = round(min(settings.events_interval, settings.watch_interval).total_seconds())
    for label, policy in chain.from_iterable(each.parts for each in settings.policy_holders):
        grace = round(policy.quarantine_grace.total_seconds())
        left = SHORTEST_WAIT - interval - grace
        if policy.quarantine is not Mode.OFF and left < LEAST_LEFT:
            yield (
                f"Project {label}: a read each {interval} s and BOT_QUARANTINE_GRACE ({grace} s) "
                f"leave {left} s of the {SHORTEST_WAIT} s until a link is live: the download may "
                f"be used before the bot cancels it. At least {LEAST_LEFT} s should be left."
            )


def _policy_risks(policy: Policy, watched: Sequence[Policy]) -> Iterator[str]:
    """Name the risks of a policy; `watched` are those of its project that announce."""
    if policy.watch_restores and not any(each.watch_restores for each in watched):
        yield "restores into other projects are not announced: set a channel (BOT_WATCH_CHANNEL)."
    if policy.ask_starter and policy.watch_channel == "":
        yield "no starter is asked about a download that is not announced (BOT_ASK_STARTER)."
    if policy.read_only:
        if not watched:
            yield "the bot only watches, and no channel is set (BOT_WATCH_CHANNEL)."
        return
    if policy.approvals == 0:
        yield "no approvals are needed: each requester cancels alone (BOT_APPROVALS)."
    if policy.requesters.everyone:
        yield "every full member of the workspace may ask (BOT_REQUESTERS)."
    yield from _approval_risks(policy) if policy.approvals else _unused_rules(policy)
    if policy.channels and policy.watch_channel and policy.watch_channel not in policy.channels:
        yield (
            "the buttons of announcements do not work in the watch channel: add it to "
            "BOT_CHANNELS (BOT_WATCH_CHANNEL)."
        )


def _approval_risks(policy: Policy) -> Iterator[str]:
    if policy.approvers.everyone:
        yield "every full member of the workspace may approve (BOT_APPROVERS)."
    if policy.approvals == 1 and policy.self_approval:
        yield "the requester's own approval is enough (BOT_SELF_APPROVAL)."
    is_set = policy.remind_after != REMIND_AFTER  # the last ones of the default may not come
    if is_set and any(wait >= policy.approval_ttl for wait in policy.remind_after):
        yield "a request expires before its last reminder (BOT_APPROVAL_TTL, BOT_REMIND_AFTER)."


def _unused_rules(policy: Policy) -> Iterator[str]:
    if policy.approvers != policy.requesters:
        yield "approvers are named, but no approvals are needed (BOT_APPROVALS)."
    if policy.break_glass != NO_ONE:
        yield "people may act alone, but no approvals are needed (BOT_BREAK_GLASS, BOT_APPROVALS)."


def _hidden_entries(projects: Sequence[PolicyHolder]) -> Iterator[str]:
    for project in projects:
        for entry in hidden_entries(project.policies):
            yield (
                f"Project {project.label}: the entry of clusters {', '.join(entry.names)} never "
                "applies, because an earlier one has the same names: move it up, or remove it."
            )


def _project_warnings(projects: Sequence[PolicyHolder]) -> list[str]:
    """Return each risk once, with the projects that have it."""
    names: dict[str, list[str]] = {}
    for project in projects:
        watched = [each for each in project.policies.all if each.is_watched]
        for label, policy in project.parts:
            for risk in _policy_risks(policy, watched):
                names.setdefault(risk, []).append(label)
    return [
        f"{'Project' if len(having) == 1 else 'Projects'} {', '.join(having)}: {risk}"
        for risk, having in names.items()
    ]
