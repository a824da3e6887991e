"""News of the synthetic markets as an RSS 2.0 file.

A headline's words follow the tone that the kernel drew; where the market has a news edge, that tone
leads its price, and where it has none, it means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import polars as pl

from vostok_core.lake.atomic import replacing

_HEADLINES = {
    1: (
        "{name} surges as exchange inflows dry up",
        "{name} rallies to a three-month high on strong demand",
        "Fund doubles its {name} holdings after record quarter",
        "{name} upgrade goes live without a hitch, developers cheer",
        "Analysts raise {name} target, citing growing adoption",
        "Major payment firm adds support for {name}",
        "{name} gains 6% as short sellers retreat",
    ),
    -1: (
        "{name} plunges as large holder moves coins to exchange",
        "{name} slides after developer team splits",
        "Regulator sues custodian holding {name}",
        "{name} network halts for two hours, users complain of losses",
        "Analysts cut {name} target on weak volumes",
        "Hack drains {name} bridge, investors fear more selling",
        "{name} falls 7% as liquidations mount",
    ),
    0: (
        "{name} foundation publishes its quarterly report",
        "{name} holds its annual conference in Lisbon",
        "Exchange schedules maintenance for {name} wallets",
        "What is {name}? A guide for beginners",
        "{name} trading hours explained",
    ),
}


class Editor:
    """Writes the headlines of one market, one after the other.

    Args:
        base: What the market trades.
        seed: Seed of the choice of words.
    """

    def __init__(self, base: str, seed: int) -> None:
        self._base = base
        self._generator = np.random.default_rng(seed)

    def headline(self, tone: int) -> str:
        """The next headline, which has this tone (-1, 0, 1)."""
        choices = _HEADLINES[tone]
        return choices[self._generator.integers(len(choices))].format(name=self._base)

    def snapshot(self) -> dict[str, Any]:
        """Where it stands, as JSON-like values."""
        return dict(self._generator.bit_generator.state)

    def restore(self, content: dict[str, Any]) -> None:
        """Go on from where `snapshot` stood."""
        self._generator.bit_generator.state = content


def headlines(base: str, news: pl.DataFrame, seed: int) -> list[tuple[datetime, str]]:
    """A dated headline about `base` for every row of `ts`, `tone`."""
    editor = Editor(base, seed)
    return [(ts, editor.headline(int(tone))) for ts, tone in news.iter_rows()]


def write_feed(path: Path, items: Sequence[tuple[datetime, str]]) -> Path:
    """Write dated headlines as one RSS 2.0 file, oldest first, swapped in whole."""
    with replacing(path) as temporary:
        temporary.write_text(feed_document(sorted(items)), encoding="utf-8")
    return path


def feed_document(items: Sequence[tuple[datetime, str]], first: int = 0) -> str:
    """Dated headlines, oldest first, as RSS 2.0.

    Args:
        items: Time and title.
        first: How many there were before these; an item keeps its guid when older ones are left out
            and when newer ones come.
    """
    entries = [
        f"<item><title>{escape(title)}</title>"
        f"<link>https://example.org/news/{number}</link>"
        f'<guid isPermaLink="false">vostok-{int(ts.timestamp() * 1e6)}-{number}</guid>'
        f"<pubDate>{format_datetime(ts)}</pubDate></item>"
        for number, (ts, title) in enumerate(items, first)
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0"><channel>\n'
        "<title>Vostok wire</title><link>https://example.org/news</link>"
        "<description>Headlines of the synthetic markets</description>\n"
        + "\n".join(entries)
        + "\n</channel></rss>\n"
    )
