"""Each error has its sentence."""

import inspect

import pytest

from bot.cancellation import errors


def leaves() -> list[type[errors.CancellationError]]:
    found = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, errors.CancellationError)
    ]
    return [leaf for leaf in found if leaf is errors.NotRecorded or not leaf.__subclasses__()]


@pytest.mark.parametrize("leaf", leaves())
def test_every_leaf_has_a_sentence(leaf: type[errors.CancellationError]) -> None:
    assert (inspect.getdoc(leaf) or "").endswith(".")


def test_sentence_contains_the_attributes() -> None:
    assert str(errors.TooFewApprovers(needed=2, able=1)).startswith(
        "This needs approvals of other people, 2 in all, but only 1 could give one,"
    )


def test_conflict_has_the_sentence_of_not_recorded() -> None:
    assert str(errors.Conflict()) == str(errors.NotRecorded())
