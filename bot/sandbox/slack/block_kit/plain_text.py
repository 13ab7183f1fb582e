"""Renders messages and views as plain text, for assertions and for the demo's script."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]


def text_of(thing: Json, names: Mapping[str, str] | None = None) -> str:
    """Render what a person reads in a message or a view, one line a part.

    Buttons are `[Label]`, inputs `Label: value`; mentions use `names` (id → name) where known;
    dates show their fallback; a view begins with its title and ends with its own buttons.
    """
    blocks = thing.get("blocks") or []
    lines = list(_title(thing))
    for block in blocks:
        lines += _block(block, thing)
    if not blocks and thing.get("text"):
        lines.append(thing["text"])
    lines += _footer(thing)
    return "\n".join(unescape(line, names or {}) for line in lines)


def unescape(text: str, names: Mapping[str, str]) -> str:
    """Render Slack's markup: mentions, dates, links, `&amp;`."""
    text = re.sub(r"<!date\^(\d+)\^[^|>]*\|([^>]*)>", r"\2", text)
    text = re.sub(r"<!subteam\^(S\w+)(?:\|[^>]*)?>", lambda m: _mention(m[1], names), text)
    text = re.sub(r"<[@#](\w+)(?:\|[^>]*)?>", lambda m: _mention(m[1], names), text)
    text = re.sub(r"<(?:https?|mailto)[^|>]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"<((?:https?|mailto)[^>]*)>", r"\1", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _mention(id_: str, names: Mapping[str, str]) -> str:
    mark = "#" if id_.startswith("C") else "@"
    return f"{mark}{names.get(id_, id_)}"


def _title(thing: Json) -> Iterator[str]:
    if "title" in thing:
        yield thing["title"]["text"]


def _footer(thing: Json) -> Iterator[str]:
    buttons = [thing[name]["text"] for name in ("close", "submit") if thing.get(name)]
    if buttons:
        yield " ".join(f"[{text}]" for text in buttons)


def _block(block: Json, thing: Json) -> Iterator[str]:
    kind = block["type"]
    if kind == "section":
        yield from _section(block, thing)
    elif kind == "context":
        yield " ".join(e["text"] for e in block["elements"])
    elif kind == "actions":
        yield " ".join(_element(e, block, thing) for e in block["elements"])
    elif kind == "input":
        yield f"{block['label']['text']}: {_element(block['element'], block, thing)}"


def _section(block: Json, thing: Json) -> Iterator[str]:
    yield block["text"]["text"]
    if "accessory" in block:
        yield _element(block["accessory"], block, thing)


def _element(element: Json, block: Json, thing: Json) -> str:
    if element["type"] == "button":
        return f"[{element['text']['text']}]"
    values = thing.get("state", {}).get("values", {})
    state = values.get(block.get("block_id"), {}).get(element.get("action_id"), {})
    return _state(state) or _unfilled(element)


def _unfilled(element: Json) -> str:
    """Return the boxes that can be ticked, or that a text input is empty."""
    if element["type"] == "checkboxes":
        return " ".join(f"☐ {option['text']['text']}" for option in element["options"])
    return "(empty)"


def _state(state: Json) -> str:
    for key, value in state.items():
        if key == "type" or value in (None, []):
            continue
        parts = value if isinstance(value, list) else [value]
        return ", ".join(p["text"]["text"] if isinstance(p, dict) else str(p) for p in parts)
    return ""
