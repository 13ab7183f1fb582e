"""Payloads as Slack sends them, no more of each than the bot reads."""

from typing import Any

from tests.unit.slack.fake_slack import HOME


def command(text: str, *, user: str = "U0RINA", channel: str = "C0OPS") -> dict[str, Any]:
    return {
        "command": "/cancel-restore",
        "text": text,
        "user_id": user,
        "team_id": HOME,
        "channel_id": channel,
        "trigger_id": "1.2.3",
    }


def click(
    action_id: str,
    value: str,
    *,
    user: str = "U0ADA",
    team: str = HOME,
    channel: str | None = "C0OPS",
    ts: str = "1700000000.000100",
) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "user": {"id": user, "team_id": team},
        "team": {"id": HOME},
        "channel": {"id": channel} if channel else None,
        "container": {"type": "message", "message_ts": ts, "channel_id": channel},
        "trigger_id": "1.2.3",
        "actions": [{"type": "button", "action_id": action_id, "value": value}],
    }


def view_click(
    action_id: str, view: dict[str, Any], *, user: str = "U0RINA", value: str = "x"
) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "user": {"id": user, "team_id": HOME},
        "team": {"id": HOME},
        "container": {"type": "view", "view_id": "V1"},
        "view": {**view, "id": "V1"},
        "trigger_id": "1.2.3",
        "actions": [{"type": "button", "action_id": action_id, "value": value}],
    }


def submission(
    view: dict[str, Any], *, user: str = "U0RINA", view_id: str = "V1", **typed: str
) -> dict[str, Any]:
    values = {name: {name: {"type": "plain_text_input", "value": typed[name]}} for name in typed}
    return {
        "type": "view_submission",
        "user": {"id": user, "team_id": HOME},
        "team": {"id": HOME},
        "view": {**view, "id": view_id, "state": {"values": values}},
    }
