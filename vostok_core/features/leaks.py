"""Trying to make features look ahead, or remember what they must not.

A value at a bar may depend on that bar and those before it. So: cut the rows after a bar, or
corrupt them, and every value at or before it must stay as it was, bit for bit. Rows fed one at a
time, rows fed after a restart, and rows in memory that somebody overwrites must give the same bits
too. Warm-ups are lifted for the examination, so that no row hides behind them.

`check_pack` examines packs of kernels; `check_function` any function from rows to a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from vostok_core.features.inputs import (
    BUY_VOLUME,
    CLOSE,
    HIGH,
    LOW,
    MAX_QTY,
    OPEN,
    QTY_SQ_SUM,
    QUOTE_VOLUME,
    RETURN_SQ_SUM,
    S_ITEMS,
    S_SCORE_ABS_SUM,
    S_SCORE_SUM,
    S_TS,
    SENTIMENT_FIELDS,
    SIDE_CHANGES,
    SIZE_ENTROPY,
    TRADES,
    TS,
    VOLUME,
    VWAP,
)
from vostok_core.features.registry import Pack
from vostok_core.features.walk import Stream, walk
from vostok_core.market.bars import BAR_FIELDS
from vostok_core.times import MINUTE

_BEYOND = 600  # rows

Kind = Literal["repeat", "truncation", "future shock", "streaming", "restart", "aliasing"]


@dataclass(frozen=True)
class LeakFinding:
    """One feature that differs where it must not; the first row at which it does.

    Attributes:
        feature: Name of the feature.
        kind: What was done to the input: nothing but a second run (`repeat`), rows after `row`
            removed or corrupted (`truncation`, `future shock`), rows fed one at a time
            (`streaming`), a stream rebuilt from the first row (`restart`), memory of the input
            overwritten (`aliasing`).
        row: Index of the row.
        expected: Its value in the undisturbed run.
        found: Its value in the other.
    """

    feature: str
    kind: Kind
    row: int
    expected: float
    found: float

    def __str__(self) -> str:
        return (
            f"{self.feature}: {self.kind} changes row {self.row} from {self.expected!r} "
            f"to {self.found!r}"
        )


class _Findings:
    """The first finding of each kind for each feature."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._found: dict[tuple[str, Kind], LeakFinding] = {}

    def compare(self, kind: Kind, expected: np.ndarray, found: np.ndarray) -> None:
        expected = np.ascontiguousarray(expected, dtype=np.float64)
        found = np.ascontiguousarray(found, dtype=np.float64)
        if expected.shape != found.shape:
            raise ValueError(f"{kind}: values of shape {found.shape}, not {expected.shape}")
        same = expected.view(np.int64) == found.view(np.int64)
        same |= np.isnan(expected) & np.isnan(found)
        for j in map(int, np.flatnonzero(~same.all(axis=0))):
            i = int(np.argmin(same[:, j]))
            finding = LeakFinding(
                self._columns[j], kind, i, float(expected[i, j]), float(found[i, j])
            )
            before = self._found.get((finding.feature, kind))
            if before is None or finding.row < before.row:
                self._found[finding.feature, kind] = finding

    def listed(self) -> list[LeakFinding]:
        order = {name: j for j, name in enumerate(self._columns)}
        return sorted(self._found.values(), key=lambda f: (order[f.feature], f.kind))


def shocked(rows: np.ndarray, after: int, seed: int) -> np.ndarray:
    """A copy whose rows after index `after` are corrupted: another time, every number scaled."""
    rng = np.random.default_rng((seed, after))
    copy = rows.copy()
    future = copy[after + 1 :]
    future[:, 1:] *= rng.uniform(0.5, 2.0, future[:, 1:].shape)
    future[:, 0] += int(rng.integers(1, 10_000)) * MINUTE
    return copy


def check_function(
    name: str,
    columns: Sequence[str],
    function: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    *,
    seed: int = 0,
    cuts: Sequence[int] | None = None,
) -> list[LeakFinding]:
    """Examine a function that computes all rows at once.

    Args:
        name: What it is called, for the message of an unusable result.
        columns: Names of the columns it returns.
        function: From rows, shape (n, fields), to values, shape (n, columns), float64.
        rows: Its input; column 0 is the time in microseconds.
        seed: Of the cuts and of the noise.
        cuts: Rows after which the future is cut and corrupted; 16 by default.

    Returns:
        What was found; nothing for a causal function.

    Raises:
        ValueError: The function returns another shape.
    """
    findings = _Findings(columns)
    base = np.array(function(rows.copy()), dtype=np.float64)
    if base.shape != (len(rows), len(columns)):
        raise ValueError(
            f"{name} returns shape {base.shape} for {len(rows)} rows and {len(columns)} columns"
        )
    cuts = _cuts(len(rows), seed, 16) if cuts is None else cuts
    _disturb(findings, function, rows, base, seed, cuts)
    return findings.listed()


def enough_rows(pack: Pack) -> int:
    """Rows on which all memory of a pack is full and has been overwritten: its longest warm-up, and
    as many more as cuts and restarts need to fall behind it too."""
    return pack.warmup + _BEYOND


def check_pack(
    pack: Pack, rows: np.ndarray, *, seed: int = 0, cuts: Sequence[int] | None = None
) -> list[LeakFinding]:
    """Examine every feature of a pack, on every row.

    Args:
        pack: The pack.
        rows: Its inputs, shape (bars, fields).
        seed: Of the cuts and of the noise.
        cuts: Rows after which the future is cut and corrupted, and streams are restarted; 6 by
            default. Streaming is compared on all rows.

    Returns:
        What was found; nothing for a pack of causal kernels.
    """
    bare = replace(pack, kernels=tuple(replace(k, warmup=0) for k in pack.kernels))
    cuts = _cuts(len(rows), seed, 6) if cuts is None else cuts
    findings = _Findings(pack.columns)
    base = walk(bare, rows.copy())
    _disturb(findings, lambda r: walk(bare, r), rows, base, seed, cuts)

    stream = Stream(bare)
    values = np.empty_like(base)
    for i, row in enumerate(rows):
        values[i] = stream.update(row.copy())
    findings.compare("streaming", base, values)

    stream = Stream(bare)
    buffer = np.empty(rows.shape[1])
    returned = []
    for row in rows:
        buffer[:] = row
        returned.append(stream.update(buffer))
        buffer[:] = np.nan
    findings.compare("aliasing", base, np.array(returned).reshape(base.shape))

    for cut in cuts:
        # Streams that were stopped, or fed something else, must have left nothing behind.
        Stream(bare).replay(rows[: cut + 1].copy())
        Stream(bare).replay(shocked(rows, 0, seed))
        rebuilt = Stream(bare)
        before = rebuilt.replay(rows[: cut + 1].copy())
        after = np.empty((len(rows) - cut - 1, base.shape[1]))
        for i, row in enumerate(rows[cut + 1 :]):
            after[i] = rebuilt.update(row.copy())
        findings.compare("restart", base, np.concatenate((before, after)))
    return findings.listed()


def _disturb(
    findings: _Findings,
    function: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    base: np.ndarray,
    seed: int,
    cuts: Sequence[int],
) -> None:
    """What can be done to a function of rows: repeat it, overwrite its input, cut, corrupt."""
    own = rows.copy()
    values = function(own)
    findings.compare("repeat", base, values)
    findings.compare("aliasing", base, function(own))  # unless the first run changed its input
    own[:] = np.nan
    findings.compare("aliasing", base, values)
    for cut in cuts:
        until = base[: cut + 1]
        findings.compare("truncation", until, function(rows[: cut + 1].copy()))
        findings.compare("future shock", until, function(shocked(rows, cut, seed))[: cut + 1])


def _cuts(rows: int, seed: int, count: int) -> list[int]:
    """Rows to cut after: early, late, and some in between; never the last, which has no future."""
    if rows < 2:
        return []
    rng = np.random.default_rng((seed, rows))
    drawn = rng.integers(0, rows - 1, max(count - 2, 0))
    return sorted({rows // 2 - 1, rows - 2, *(int(cut) for cut in drawn)} - {-1})


def probe_rows(
    kind: Literal["bars", "sentiment"],
    count: int,
    seed: int,
    *,
    empty: float = 0.1,
    unknown: float = 0.1,
    gaps: float = 0.01,
    flat: float = 0.05,
) -> np.ndarray:
    """Inputs that show features their hard sides: rows of one-minute bars or sentiment.

    Args:
        kind: Which inputs.
        count: Number of rows.
        seed: Same seed, same rows.
        empty: Share of bars without a trade (of rows without an item: nine in ten, and this).
        unknown: Share of bars, in stretches of 100, whose tick statistics are NaN, as those of
            klines are.
        gaps: Share of rows that come hours late.
        flat: Share of bars with trades at a single price.

    Returns:
        Shape (count, fields), float64; values keep the bounds of the lake's tables.
    """
    rng = np.random.default_rng((seed, count))
    steps = np.where(rng.random(count) < gaps, rng.integers(2, 300, count), 1)
    ts = 1_709_164_800_000_000.0 + np.cumsum(steps) * MINUTE
    if kind == "sentiment":
        rows = np.zeros((count, len(SENTIMENT_FIELDS)))
        rows[:, S_TS] = ts
        items = rng.poisson(1.2, count) * (rng.random(count) < 0.1 * (1.0 - empty))
        score = rng.uniform(-1.0, 1.0, count)
        rows[:, S_ITEMS] = items
        rows[:, S_SCORE_SUM] = items * score
        rows[:, S_SCORE_ABS_SUM] = items * np.maximum(np.abs(score), rng.random(count))
        return rows
    rows = np.empty((count, len(BAR_FIELDS)))
    silent = rng.random(count) < empty
    still = silent | (rng.random(count) < flat)
    moves = np.where(still, 0.0, rng.standard_t(4, count) * 1e-3)
    close = 100.0 * np.exp(np.cumsum(moves))
    before = np.concatenate(([100.0], close[:-1]))
    spread = np.where(still, 0.0, rng.exponential(5e-4, count))
    rows[:, TS] = ts
    rows[:, OPEN] = np.where(still, close, before)
    rows[:, CLOSE] = close
    rows[:, HIGH] = np.maximum(rows[:, OPEN], close) * (1.0 + spread)
    rows[:, LOW] = np.minimum(rows[:, OPEN], close) * (1.0 - spread)
    volume = np.where(silent, 0.0, rng.lognormal(0.0, 1.0, count))
    trades = np.where(silent, 0.0, 1.0 + rng.poisson(8.0, count))
    largest = rng.uniform(1.0 / np.maximum(trades, 1.0), 1.0)
    rows[:, VOLUME] = volume
    rows[:, TRADES] = trades
    rows[:, BUY_VOLUME] = volume * rng.random(count)
    rows[:, VWAP] = np.where(silent, np.nan, (rows[:, HIGH] + rows[:, LOW] + close) / 3.0)
    rows[:, QUOTE_VOLUME] = np.where(silent, 0.0, rows[:, VWAP] * volume)
    rows[:, MAX_QTY] = volume * largest
    rows[:, QTY_SQ_SUM] = volume**2 * largest * rng.uniform(largest, 1.0)
    rows[:, SIZE_ENTROPY] = np.where(silent, 0.0, rng.uniform(0.0, 3.0, count))
    rows[:, RETURN_SQ_SUM] = np.where(still, 0.0, moves**2 * rng.uniform(0.2, 3.0, count))
    rows[:, SIDE_CHANGES] = np.floor(np.maximum(trades - 1.0, 0.0) * rng.random(count))
    begins = rng.random(count) < unknown / 100.0
    hidden = np.convolve(begins, np.ones(100))[:count] > 0.0
    for field in (QUOTE_VOLUME, TRADES, BUY_VOLUME, VWAP):
        rows[hidden & (rng.random(count) < 0.5), field] = np.nan
    for field in (MAX_QTY, QTY_SQ_SUM, SIZE_ENTROPY, RETURN_SQ_SUM, SIDE_CHANGES):
        rows[hidden, field] = np.nan
    return rows
