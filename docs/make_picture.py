"""Draws docs/demo.svg from what `cancel-restore demo --script` prints."""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from bot.demo.script import play_script
from bot.logs import configure_logging

PICTURE = Path(__file__).with_name("demo.svg")
WIDTH = 118

#: The SVG of rich without its link to a font on another host.
TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>One cancellation, as people see it and as it goes over the wire</title>
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono",
 monospace; line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""

#: From what Slack's markup says to what Slack's clients show.
MARKUP = re.compile(r"([^*`]+)|\*([^*]*)\*|`([^`]*)`")
SHOWN = {":white_check_mark:": "✔", ":hourglass_flowing_sand:": "…"}


async def lines_of_the_play() -> list[str]:
    """Play the script, and return its lines as the picture has them."""
    out = io.StringIO()
    await play_script(out)
    return shorten(out.getvalue())


def shorten(printed: str) -> list[str]:
    """Give labels and values one line, and paths their last part; drop what is blank."""
    text = re.sub(r"(\*[\w ]+\*)\n +\w+ │ ", r"\1  ", printed)
    text = re.sub(r"/groups/\w+/clusters/", "/…/", text)
    for markup, sign in SHOWN.items():
        text = text.replace(markup, sign)
    kept = [line.rstrip() for line in text.splitlines() if line.strip()]
    return [line for line in kept if not line.endswith("│")]


def colour(line: str) -> Text:
    """Show markup as Slack's clients do, and make the wire stand out."""
    text = Text()
    for plain, strong, code in MARKUP.findall(line):
        text.append(plain).append(strong, "bold").append(code, "bright_green")
    text.highlight_regex(r"^──.*", "bold bright_yellow")
    text.highlight_regex(r"^ +\d.*", "bright_cyan")
    text.highlight_regex(r"DELETE .*? → 204", "bold bright_magenta")
    text.highlight_regex(r"^ +\w+ │", "bright_black")
    text.highlight_regex("✔", "bold bright_green")
    return text


def draw(lines: list[str]) -> str:
    """Return the picture as SVG; what `lines` say is in it as text."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text("$ cancel-restore demo --script", "bold"))
    for line in lines:
        console.print(colour(line), soft_wrap=False)
    return console.export_svg(
        title="cancel-restore", theme=MONOKAI, code_format=TEMPLATE, unique_id="demo"
    )


if __name__ == "__main__":
    configure_logging("WARNING")
    PICTURE.write_text(draw(asyncio.run(lines_of_the_play())), encoding="utf-8")
