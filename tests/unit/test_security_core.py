"""Only the security core can send a DELETE: read from the syntax trees of all modules."""

import ast
from collections.abc import Iterator

from tests.support.syntax import modules, name_of, tree_of

#: The modules that may name each of these.
MAY_NAME = {
    "AtlasHttp": {"bot.atlas", "bot.atlas.reader", "bot.wiring"},
    "AtlasCanceller": {"bot.atlas", "bot.services.runner", "bot.wiring"},
    "cancel_restore_job": {"bot.services.runner"},
    "canceller_of": {"bot.services.runner", "bot.wiring"},
    # The metrics have it as a label.
    "'DELETE'": {"bot.atlas.http", "bot.web.metrics"},
}
CANCELLER = "bot.atlas.canceller"
#: The fake servers import nothing of the bot; the demo starts the bot as a process.
NOT_THE_BOT = ("bot.sandbox", "bot.demo")


def names_in(tree: ast.Module) -> Iterator[str]:
    """Yield every name, attribute, imported name and text constant."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name
            case ast.Constant(value=str(text)):
                yield repr(text)
                yield text  # as for `getattr`


def test_only_the_runner_and_the_wiring_reach_what_sends_a_delete() -> None:
    found: dict[str, set[str]] = {name: set() for name in MAY_NAME}
    for path in modules():
        module = name_of(path)
        if module != CANCELLER and not module.startswith(NOT_THE_BOT):
            for name in found.keys() & set(names_in(tree_of(path))):
                found[name].add(module)

    assert found == MAY_NAME


def test_a_name_in_a_text_is_found() -> None:
    tree = ast.parse("def f(x):\n    return getattr(x, 'cancel_restore_job')('DELETE')\n")

    assert {"cancel_restore_job", "'DELETE'"} <= set(names_in(tree))
