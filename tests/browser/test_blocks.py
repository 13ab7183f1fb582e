"""The page renders all blocks of the bot, escapes external text, and shows unknown blocks."""

import re
from pathlib import Path

import bot.cancellation
import bot.slack
from tests.browser.screen import Screen
from tests.unit.slack import samples

RENDER = """async (container) => {
    const { blocks } = await import("/page/blocks.js");
    const box = document.createElement("div");
    box.append(...blocks({ id: "V1", root_view_id: "V1", ...container }));
    const unknown = [...box.querySelectorAll(".unknown")];
    return [box.textContent, unknown.map((one) => one.textContent)];
}"""

MARKUP = """async (text) => {
    const { mrkdwn } = await import("/page/mrkdwn.js");
    const { context } = await import("/page/context.js");
    return mrkdwn(text, context()).innerHTML;
}"""


async def test_every_block_that_the_bot_sends_is_rendered(page: Screen) -> None:
    """Every view and message of the golden tests."""
    shown = {**samples.views(), **samples.messages(), **samples.finding()}
    unknown = {}
    for name, container in shown.items():
        text, missing = await page.page.evaluate(RENDER, container)
        if missing or not text:
            unknown[name] = missing

    assert len(shown) > 20
    assert unknown == {}


PICKER = {"type": "actions", "elements": [{"type": "datepicker"}]}
FILE = {"type": "input", "label": {"text": "x"}, "element": {"type": "file_input"}}


async def test_unknown_block_is_shown_as_an_error(page: Screen) -> None:
    _, unknown = await page.page.evaluate(RENDER, {"blocks": [{"type": "video"}, PICKER, FILE]})

    assert unknown == [
        "The demo cannot show this: a block of the type video",
        "The demo cannot show this: an element of the type datepicker",
        "The demo cannot show this: an input of the type file_input",
    ]


MENTION = '<span class="mention">{}</span>'
LINK = '<a href="{}" target="_blank" rel="noopener noreferrer">go</a>'

EXPECTED_HTML = {
    "*bold* _it_ ~no~": "<strong>bold</strong> <em>it</em> <s>no</s>",
    "`a*b*` c": "<code>a*b*</code> c",
    "2*3*4 and snake_case_name": "2*3*4 and snake_case_name",
    "a &lt;b&gt; &amp;amp;": "a &lt;b&gt; &amp;amp;",
    "<@U0ADA00001>": MENTION.format("@Ada"),
    "<#C0OPS00001>": MENTION.format("#ops"),
    "<!subteam^S0APPROVE1>": MENTION.format("@approvers"),
    "<javascript:alert(1)|x>": "x",
    "<img src=x onerror=alert(1)>": "img src=x onerror=alert(1)",
    "<https://a.example/?a=1&amp;b|go>": LINK.format("https://a.example/?a=1&amp;b"),
    ":no_such_sign:": ":no_such_sign:",
}


async def test_markup_becomes_elements_and_other_text_is_unchanged(page: Screen) -> None:
    rendered = {text: await page.page.evaluate(MARKUP, text) for text in EXPECTED_HTML}

    assert rendered == {text: f"<span>{html}</span>" for text, html in EXPECTED_HTML.items()}


async def test_quotes_and_dates_are_rendered(page: Screen) -> None:
    rendered = await page.page.evaluate(
        MARKUP, ">one\n>two\n<!date^0^{date_num} {time_secs}|long ago>"
    )

    assert rendered.startswith("<blockquote>one\ntwo</blockquote><span><time")
    assert 'datetime="1970-01-01T00:00:00.000Z"' in rendered


def emoji_names() -> set[str]:
    """Every `:name:` in the texts of the bot."""
    sources = [Path(p.__path__[0]).rglob("*.py") for p in (bot.slack, bot.cancellation)]
    texts = [file.read_text() for files in sources for file in files]
    return {name for text in texts for name in re.findall(r"[\"' *]:([a-z_]+): ", text)}


async def test_every_emoji_of_the_bots_texts_is_known(page: Screen) -> None:
    rendered = await page.page.evaluate("import('/page/emoji.js').then(m => Object.keys(m.EMOJI))")

    assert len(emoji_names()) > 10
    assert emoji_names() <= set(rendered)
