"""Chance that leaves nothing out: every card is dealt once before any comes again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

T = TypeVar("T")


class ShuffleBag(Generic[T]):
    """A shuffled pack that is shuffled anew when it has been dealt."""

    def __init__(self, dice: random.Random, cards: Sequence[T]) -> None:
        self._dice = dice
        self._cards = cards
        self._left: list[T] = []

    def deal(self) -> T:
        if not self._left:
            self._left = self._dice.sample(self._cards, len(self._cards))
        return self._left.pop()
