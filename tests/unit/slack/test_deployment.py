"""The command and the label of a deployment: in every sentence, card, announcement, Home tab."""

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

import pytest

from bot.services.projects import Projects
from bot.slack.command import help_text, invalid, route_message, unknown_project
from bot.slack.deployment import set_deployment
from bot.slack.errors import other_version
from bot.slack.grammar import InvalidCommand, parse
from bot.slack.lists import no_such_cluster
from bot.slack.plain_text import as_text
from tests.support.domain import JOB_ID
from tests.unit.slack import samples

T = TypeVar("T")

LABELLED = "[EU &lt;prod&gt;]"


def deployed(build: Callable[[], T], label: str | None = "EU <prod>") -> T:
    """Return the result of `build` in a deployment, and restore that of the other tests."""

    def run() -> T:
        set_deployment("/cancel-eu", label)
        return build()

    return copy_context().run(run)


def shown() -> dict[str, Any]:
    return {**samples.views(), **samples.messages(), **samples.finding()}


SHOWN = deployed(shown)
LABELLED_PARTS = sorted(
    name for name in SHOWN if name.startswith(("card", "announcement", "direct", "home"))
)


def sentences() -> list[str]:
    refused = parse("approve me please")
    assert isinstance(refused, InvalidCommand)
    return [
        help_text(["shop"]),
        invalid(refused),
        unknown_project("x", []),
        other_version("button"),
        no_such_cluster("prod", []),
        str(route_message({"text": "hello"}, "C0OPS", Projects([]))),
    ]


def test_no_view_or_message_names_another_command() -> None:
    assert [name for name, each in SHOWN.items() if "/cancel-restore" in str(each)] == []


@pytest.mark.parametrize("sentence", deployed(sentences))
def test_sentence_names_the_command_of_the_deployment(sentence: str) -> None:
    assert "/cancel-eu" in sentence
    assert "/cancel-restore" not in sentence


def test_own_command_typed_twice_is_left_out_of_the_suggestion() -> None:
    typed = f"/cancel-eu prod-eu {JOB_ID}"
    answer = deployed(lambda: parse(typed))

    assert isinstance(answer, InvalidCommand)
    assert answer.suggestion == f"prod-eu {JOB_ID}"


@pytest.mark.parametrize("name", LABELLED_PARTS)
def test_card_announcement_and_home_tab_have_the_label(name: str) -> None:
    assert LABELLED in as_text(SHOWN[name]["blocks"]).splitlines()[0]
    assert SHOWN[name].get("text", LABELLED).startswith(LABELLED)


def test_without_a_label_nothing_is_added() -> None:
    unlabelled = deployed(shown, label=None)
    first = {name: as_text(unlabelled[name]["blocks"])[:1] for name in LABELLED_PARTS}

    assert [name for name, character in first.items() if character == "["] == []
