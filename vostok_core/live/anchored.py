"""State that walks from a month's anchor: at a month's first bar the one for it takes over.

A walk for a day begins at the anchor of its month (`features.walk.anchor`). A process that goes on
for months therefore keeps, in the last days of a month, a second state that has begun at the anchor
of the next, and changes to it at midnight. The bits are those of partitions, whenever the process
was started.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Generic, TypeVar

State = TypeVar("State")
Result = TypeVar("Result")


class Anchored(Generic[State]):
    """The states of the month at hand and of those whose anchor has come.

    Args:
        make: Makes a state that has seen nothing.
        anchor: The day on which the walk for a day begins.
    """

    def __init__(self, make: Callable[[], State], anchor: Callable[[date], date]) -> None:
        self._make = make
        self._anchor = anchor
        self._states: dict[date, State] = {}

    def feed(self, day: date, step: Callable[[State], Result]) -> Result:
        """Let every state that walks over a bar of `day` see it; returns what the day's own says.

        Days must not go back.
        """
        own = day.replace(day=1)
        for month in [month for month in self._states if month < own]:
            del self._states[month]
        month = own
        while month == own or self._anchor(month) <= day:
            if month not in self._states:
                self._states[month] = self._make()
            month = (month + timedelta(days=31)).replace(day=1)
        results = {month: step(state) for month, state in self._states.items()}
        return results[own]

    def forget(self) -> None:
        """Begin anew, as after a day of which nothing is known."""
        self._states.clear()
