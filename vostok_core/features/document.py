"""`docs/features.md`, written from the registry: `python -m vostok_core.features.document`."""

from __future__ import annotations

import sys
from typing import Literal

import numpy as np

from vostok_core.features.inputs import (
    BUY_VOLUME,
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    QUOTE_VOLUME,
    TRADES,
    TS,
    VOLUME,
)
from vostok_core.features.leaks import probe_rows
from vostok_core.features.registry import Kernel, Pack, packs
from vostok_core.features.walk import walk
from vostok_core.market.bars import BAR_FIELDS

Need = Literal["prices", "taker volume", "ticks", "sentiment"]

_HEAD = """\
# Features

Every feature of every registered pack. This page is written from the registry by
`python -m vostok_core.features.document > docs/features.md`; a test fails when it is stale.

Values describe the bar that ends at `ts` and those before it, and are known at `ts`. Windows count
bars. A feature is NaN in its warm-up; `capped` means that it remembers for longer than its warm-up,
by declaration, so that its value depends a little on where the walk began, which the anchor settles
(the first of the month, less the warm-up of the pack). Where bars begin later than the anchor, so
does the walk, and the partition's inputs say so (`history begins`). Bars begin anew after a day of
which nothing has landed: to walk across a day that the exchange has no file of, declare it absent
(`vostok ingest --absent DAY`, see [sources](sources.md)). Features whose pack, bars or sentiment
have changed since, or whose walk would now begin earlier, are stale: reading them is a
`StalePartition` until they are materialized again.

"Needs" says which bars have it: `prices` any bars; `taker volume` bars with number of trades and
taker volume, as from ticks and from Binance's klines; `ticks` only bars made from ticks. On other
bars it is NaN, and so is a window while it holds one; a strategy on klines leaves such features out
with `exclude`. A bar without volume has no trades, and counts as known.
"""


def needs(pack: Pack) -> dict[str, Need]:
    """What each feature's bars must hold for it to have a value, found by trying."""
    if pack.inputs == "sentiment":
        return dict.fromkeys(pack.columns, "sentiment")
    prices = (TS, OPEN, HIGH, LOW, CLOSE, VOLUME)
    levels: tuple[tuple[Need, tuple[int, ...]], ...] = (
        ("prices", prices),
        ("taker volume", (*prices, QUOTE_VOLUME, TRADES, BUY_VOLUME)),
        ("ticks", tuple(range(len(BAR_FIELDS)))),
    )
    rows = probe_rows("bars", pack.warmup + 1, 1, empty=0.0, unknown=0.0, gaps=0.0, flat=0.0)
    found: dict[str, Need] = {}
    for need, fields in levels:
        known = np.full_like(rows, np.nan)
        known[:, fields] = rows[:, fields]
        last = walk(pack, known)[-1]
        for name, value in zip(pack.columns, last, strict=True):
            if not np.isnan(value):
                found.setdefault(name, need)
    return found


def features_markdown() -> str:
    """The whole page."""
    return _HEAD + "".join(_section(pack) for pack in packs().values())


def _section(pack: Pack) -> str:
    need = needs(pack)
    facts = f"Version {pack.version}, {len(pack.columns)} features from `{pack.inputs}`"
    lines = [
        f"\n## `{pack.name}`\n",
        f"{pack.description} {facts}, warm-up {pack.warmup} bars.\n",
        "| feature | unit | formula | warm-up (bars) | needs | source |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{feature.name}` | {feature.unit} | {_cell(feature.description)} | {_warmup(kernel)} "
        f"| {need[feature.name]} | {feature.source} |"
        for kernel in pack.kernels
        for feature in kernel.outputs
    ]
    return "\n".join(lines) + "\n"


def _warmup(kernel: Kernel) -> str:
    return f"{kernel.warmup}, capped" if kernel.capped else str(kernel.warmup)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


if __name__ == "__main__":
    sys.stdout.write(features_markdown())
