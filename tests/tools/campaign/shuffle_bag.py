"""Random choice without omission: every item comes once before any repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

T = TypeVar("T")


class ShuffleBag(Generic[T]):
    """A shuffled list that is shuffled again when it is used up."""

    def __init__(self, rng: random.Random, items: Sequence[T]) -> None:
        self._rng = rng
        self._items = items
        self._left: list[T] = []

    def deal(self) -> T:
        if not self._left:
            self._left = self._rng.sample(self._items, len(self._items))
        return self._left.pop()
