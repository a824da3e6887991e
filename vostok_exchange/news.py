"""What is said of the markets, in order of time, from the history's first day on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vostok_core.times import WEEK, utc
from vostok_exchange.feed import Editor, feed_document
from vostok_exchange.flow import Flow

_SHOWN = WEEK


class Wire:
    """The news of all markets.

    Args:
        editors: Who writes the headlines of each symbol.
    """

    def __init__(self, editors: Mapping[str, Editor]) -> None:
        self._editors = editors
        self._items: list[tuple[int, str]] = []

    def tell(self, tones: list[tuple[int, str, int]]) -> None:
        """Write headlines: time, symbol and tone of each, none from before those already told."""
        told = [(ts, self._editors[symbol].headline(tone)) for ts, symbol, tone in sorted(tones)]
        self._items += sorted(told)

    def hear(self, flows: Mapping[str, Flow], now: int) -> None:
        """Tell what the markets' flows have published up to now."""
        self.tell(
            [(ts, symbol, tone) for symbol, flow in flows.items() for ts, tone in flow.news(now)]
        )

    def document(self, now: int) -> str:
        """The last seven days' headlines as RSS."""
        shown = [(utc(ts), title) for ts, title in self._items if now - _SHOWN < ts <= now]
        before = sum(ts <= now - _SHOWN for ts, _ in self._items)
        return feed_document(shown, before)

    def snapshot(self) -> dict[str, Any]:
        """Where it stands, as JSON-like values."""
        return {
            "items": [list(item) for item in self._items],
            "editors": {symbol: editor.snapshot() for symbol, editor in self._editors.items()},
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        """Go on from where `snapshot` stood."""
        self._items = [(ts, title) for ts, title in content["items"]]
        for symbol, state in content["editors"].items():
            self._editors[symbol].restore(state)
