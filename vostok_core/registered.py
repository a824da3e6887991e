"""Things that are known by their names: built in, or registered by who extends Vostok."""

from __future__ import annotations

from importlib import import_module
from typing import Generic, Protocol, TypeVar

from vostok_core.errors import UnknownName


class Named(Protocol):
    """Has a name."""

    @property
    def name(self) -> str:
        """The name."""


Item = TypeVar("Item", bound=Named)


class Registry(Generic[Item]):
    """Things of one kind, by name; those that are built in come first.

    Args:
        kind: What they are called in errors, as `pack`.
        builtin: Module that registers the built-in ones when it is imported.
    """

    def __init__(self, kind: str, builtin: str) -> None:
        self.items: dict[str, Item] = {}
        self._kind = kind
        self._builtin = builtin

    def register(self, item: Item) -> Item:
        """Make one known.

        Raises:
            ValueError: Another has its name.
        """
        if self.items.get(item.name, item) is not item:
            raise ValueError(f"a {self._kind} called {item.name!r} is already registered")
        self.items[item.name] = item
        return item

    def all(self) -> dict[str, Item]:
        """Every one, by name."""
        import_module(self._builtin)
        return dict(self.items)

    def get(self, name: str) -> Item:
        """One by name.

        Raises:
            UnknownName: None is registered under it.
        """
        known = self.all()
        if name not in known:
            raise UnknownName.of(self._kind, name, known)
        return known[name]
