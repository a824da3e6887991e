"""What has arrived and was not yet looked at: a queue with an end."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """A queue that refuses what it has no room for, and is emptied in one go.

    Args:
        limit: Items that it holds at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> bool:
        """Add an item; false where there is no room for it."""
        if len(self._items) >= self._limit:
            return False
        self._items.append(item)
        self._filled.set()
        return True

    def mark(self, item: Item) -> None:
        """Add an item that must not be lost, such as a mark of where something was; few are."""
        self._items.append(item)
        self._filled.set()

    def take(self) -> list[Item]:
        """All items, the oldest first."""
        items = list(self._items)
        self._items.clear()
        self._filled.clear()
        return items

    def wake(self) -> None:
        """Let who waits look."""
        self._filled.set()

    async def wait(self) -> None:
        """Return once there is something, or `wake` was called."""
        await self._filled.wait()
