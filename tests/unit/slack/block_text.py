"""Renders views and messages as text: everything that a reader sees, and what buttons send."""

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def as_text(shown: Json) -> str:
    """Return one line for each block, button and input; date tokens are shortened."""
    return shorten("\n".join(_lines(shown)))


def shorten(text: str) -> str:
    return re.sub(r"<!date\^\d+\^[^|]*\|([^>]*)>", r"<\1>", text)


def _lines(shown: Json) -> Iterator[str]:
    if "title" in shown:
        yield f"# {shown['title']['text']} ({shown['callback_id']})"
    if "text" in shown:
        yield f"text: {shown['text']}"
    if shown.get("reply_broadcast"):
        yield "(shown in the channel too)"
    for block in shown.get("blocks", ()):
        yield from _block(block)
    for name in ("submit", "close"):
        if name in shown:
            yield f"{name}: [{shown[name]['text']}]"
    for name in ("private_metadata", "metadata"):
        if shown.get(name):
            yield f"{name}: {shown[name]}"


def _block(block: Json) -> Iterator[str]:
    kind = block["type"]
    if kind == "section":
        yield f"{kind}: {block['text']['text']}"
        if "accessory" in block:
            yield _button(block["accessory"])
    elif kind == "context":
        yield from (f"{kind}: {part['text']}" for part in block["elements"])
    elif kind == "actions":
        yield from map(_button, block["elements"])
    elif kind == "input":
        yield _input(block)
    else:
        raise AssertionError(f"no view has a block of the type {kind}")


def _input(block: Json) -> str:
    optional = " (optional)" if block["optional"] else ""
    hint = f" - {block['hint']['text']}" if "hint" in block else ""
    options = "".join(
        f" [ ] {item['text']['text']}" for item in block["element"].get("options", ())
    )
    return f"input ({block['block_id']}): {block['label']['text']}{optional}{hint}{options}"


def _button(button: Json) -> str:
    style = f" {button['style']}" if "style" in button else ""
    return f"[{button['text']['text']}]{style} {button['action_id']}={button['value']}"
