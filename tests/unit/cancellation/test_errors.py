"""Each error has its sentence."""

from bot.cancellation import errors


def test_sentence_contains_the_attributes() -> None:
    assert str(errors.TooFewApprovers(needed=2, able=1)).startswith(
        "This needs approvals of other people, 2 in all, but only 1 could give one,"
    )


def test_conflict_has_the_sentence_of_not_recorded() -> None:
    assert str(errors.Conflict()) == str(errors.NotRecorded())
