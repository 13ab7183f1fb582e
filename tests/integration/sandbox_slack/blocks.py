"""Blocks and views for the tests of the fake Slack."""

from typing import Any

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def section(text: str = "text", **more: object) -> Json:
    return {"type": "section", "text": plain(text), **more}


def reason(**more: object) -> Json:
    element = {"type": "plain_text_input", "action_id": "reason"}
    block = {"type": "input", "block_id": "reason", "label": plain("Why"), "element": element}
    return {**block, **more}


def modal(*blocks: Json, **more: object) -> Json:
    shown = list(blocks) or [section()]
    return {"type": "modal", "title": plain("Title"), "callback_id": "ask", "blocks": shown, **more}


def form(*blocks: Json, **more: object) -> Json:
    return modal(*(blocks or (reason(),)), submit=plain("Go"), **more)
