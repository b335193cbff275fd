"""One photo before one reviewer: the attribute they are at, the values they choose, and what becomes of these."""

from __future__ import annotations

from typing import Final

from vestiary.review import Item, Queue

CHOICES: Final = 6
"""Values of an attribute that have a key, at most: the model's and its runners-up."""


LIKELY: Final = 0.01
"""Confidence that a value needs to be among them, but for the first two."""


class Turn:
    """What a reviewer does with one photo, step by step.

    A value that they choose is a draft while they are at its attribute: it is kept in the ledger, as a correction,
    when they go on from there to another attribute or accept the photo.
    """

    def __init__(self, queue: Queue, item: Item) -> None:
        self.item, self._queue = item, queue
        self.names = tuple(item.tags)
        self._kept = {name: item.given.get(name, tag.value) for name, tag in item.tags.items()}
        self.values = dict(self._kept)
        waiting = [name for name in item.open if name not in item.given]
        self._place = self.names.index((waiting or list(item.open) or list(self.names))[0])

    @property
    def attribute(self) -> str:
        """The attribute that the reviewer is at."""
        return self.names[self._place]

    @property
    def value(self) -> str:
        """The value that is chosen for it."""
        return self.values[self.attribute]

    @property
    def choices(self) -> list[tuple[str, float]]:
        """The likeliest values of the attribute with their confidences 0..1, the model's first: 2 to CHOICES."""
        tag = self.item.tags[self.attribute]
        ranked = [(tag.value, tag.confidence), *tag.runners_up][:CHOICES]
        return [own for place, own in enumerate(ranked) if place < 2 or own[1] >= LIKELY]

    @property
    def is_last(self) -> bool:
        """Whether there is no attribute below this one."""
        return self._place == len(self.names) - 1

    def choose(self, value: str) -> None:
        """Take this value for the attribute; it is kept when the reviewer goes on."""
        self.values[self.attribute] = value

    def take_next(self) -> None:
        """Take the next likely value, and after the last one the first."""
        ranked = [value for value, _ in self.choices]
        self.choose(ranked[(ranked.index(self.value) + 1) % len(ranked)] if self.value in ranked else ranked[0])

    def move(self, step: int) -> None:
        """Go to another attribute, ``step`` places down; around at the ends. Keeps the value that was chosen."""
        self._keep(self.attribute)
        self._place = (self._place + step) % len(self.names)

    def go_to(self, attribute: str) -> None:
        """Go to this attribute. Keeps the value that was chosen."""
        self.move(self.names.index(attribute) - self._place)

    def accept(self) -> None:
        """All values as they stand are right; the photo is finished."""
        self._keep(self.attribute)
        self._queue.accept(self.item)

    def skip(self) -> None:
        """Leave the photo to others; what was kept of it stays, the draft does not."""
        self._queue.skip(self.item)

    def _keep(self, attribute: str) -> None:
        """Write the value down where it is another one than before. Raises LedgerError, and then nothing is lost."""
        value = self.values[attribute]
        if value != self._kept[attribute]:
            self._queue.correct(self.item, attribute, value)
            self._kept[attribute] = value
