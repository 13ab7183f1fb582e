"""Dialogs: opened by a trigger, replaced with a hash, filled in, sent, closed."""

import pytest
from slack_sdk.errors import SlackApiError

from bot.sandbox.slack import CannotDo
from tests.integration.sandbox_slack.blocks import Json, form, modal, plain, section
from tests.integration.sandbox_slack.conftest import SlackEnv
from tests.integration.sandbox_slack.receiver import Answer


async def trigger(env: SlackEnv) -> str:
    await env.slack.people.types("rina", "#ops", "/cancel-restore")
    return str(env.app.payload["trigger_id"])


async def opened(env: SlackEnv, view: Json) -> Json:
    answer = await env.client.views_open(trigger_id=await trigger(env), view=view)
    shown: Json = answer["view"]
    return shown


async def refusal(env: SlackEnv, method: str, **arguments: object) -> str:
    with pytest.raises(SlackApiError) as refused:
        await env.client.api_call(method, json=arguments)
    return str(refused.value.response["error"])


async def test_trigger_opens_one_dialog(env: SlackEnv) -> None:
    trigger_id = await trigger(env)

    await env.client.views_open(trigger_id=trigger_id, view=form())

    shown = env.slack.state.view_of("rina")
    assert shown is not None
    assert env.slack.state.text_of(shown) == "Title\nWhy: (empty)\n[Go]"
    again = await refusal(env, "views.open", trigger_id=trigger_id, view=form())
    assert again == "exchanged_trigger_id"
    assert env.slack.state.view_of("ada") is None


async def test_update_needs_the_newest_hash_when_it_gives_one(env: SlackEnv) -> None:
    view = await opened(env, modal(section("Looking up …")))
    first = {"view_id": view["id"], "hash": view["hash"]}

    answer = await env.client.views_update(**first, view=form())

    assert answer["view"]["hash"] != view["hash"]
    assert await refusal(env, "views.update", **first, view=modal()) == "hash_conflict"


async def test_incomplete_form_is_not_submitted(env: SlackEnv) -> None:
    view = await opened(env, form())

    with pytest.raises(CannotDo, match=r"reason: Please complete this required field\."):
        await env.slack.people.submits("rina", view)

    assert env.app.payload["command"] == "/cancel-restore"
    assert env.slack.state.view_of("rina") is not None


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"typed": "There is no such input."}},
        {"response_action": "errors", "errors": {}},
        {"response_action": "update", "view": modal(title=plain("x" * 25))},
        {"response_action": "dance"},
        "ok",
    ],
)
async def test_invalid_ack_is_a_complaint(env: SlackEnv, answer: Json | str) -> None:
    view = await opened(env, form())
    env.app.answers = [Answer(body=answer)]

    ack = await env.slack.people.submits("rina", view, {"reason": "x"})

    assert (ack.error, ack.shown) == (
        "invalid_response",
        "We had some trouble connecting. Try again?",
    )
    assert len(env.slack.complaints) == 1
    assert env.slack.state.view_of("rina") is not None
