"""Two independent views of one market: bars against klines, and against another venue's bars.

An exchange that publishes both its trades and its klines says the same thing twice. Bars built from
the trades must then be the klines, to the digit: another symbol, a shifted clock, a lost file or a
mistake of ours can't hide. Another venue's prices are others, but not by much.

Prices and counts are compared exactly. The volume of a bar is a sum of doubles, that of a kline the
double nearest to the exchange's exact decimal. With n trades, each the double nearest to its
decimal, added one after another in rounding to nearest (unit u = 2^-53), the sum differs from the
exact one by at most n u V / (1 - n u), and the kline's by at most u V (Higham, Accuracy and
Stability of Numerical Algorithms, 2002, section 4.2, where nothing is negative). So volumes agree
while |difference| <= (n + 2) u V.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from vostok_core.times import MINUTE

UNIT = 2.0**-53
"""Unit of rounding of a double."""

DISAGREEMENT_POISON = 0.01
"""Share of the minutes compared; where klines differ in more, nothing else being known to be wrong,
they are of another market, or the bars are."""

LEAST_MINUTES = 30
"""With fewer minutes in which both venues traded, nearness is not judged."""

NO_KLINE = "no kline"
"""What differs where trades of ours have no kline."""

_PRICES = ("open", "high", "low", "close")
_SUMS = ("volume", "buy_volume")


@dataclass(frozen=True)
class Agreement:
    """How the bars of a day and the exchange's klines of it agree.

    Attributes:
        minutes: Minutes that were compared: those in which either view has a trade, and those
            without that both tell of.
        differing: Those that differ, in time order: `ts` (end of the minute), `differs` (in what,
            in words), `ours` and `theirs` (open, high, low, close, volume, in words), `distance`
            (greatest relative difference of prices and volume; 1 where one view has nothing),
            `known` (a gap, silence or contradiction says that trades are wrong there).
    """

    minutes: int
    differing: pl.DataFrame

    @property
    def unexplained(self) -> pl.DataFrame:
        """The minutes that differ where nothing else is known to be wrong, the worst first."""
        rows = self.differing.filter(~pl.col("known"))
        return rows.sort("distance", "ts", descending=[True, False])

    @property
    def poisons(self) -> bool:
        """Whether so much differs that the day is not to be trained on.

        Klines that are absent don't count: they may be of a part of the day only.
        """
        contradicted = self.unexplained.filter(pl.col("differs") != NO_KLINE)
        return contradicted.height > DISAGREEMENT_POISON * self.minutes


@dataclass(frozen=True)
class Nearness:
    """How near the closes of a day are to those of another venue.

    Attributes:
        minutes: Minutes in which both traded and nothing was wrong with either.
        median_bps: Median of the absolute difference of closes, basis points of the other's.
        p99_bps: Its 99th percentile.
        bias_bps: Median of the difference itself: above 0 where ours is dearer.
        differences: `ts`, `ours`, `theirs`, `bps` (signed) of every such minute.
    """

    minutes: int
    median_bps: float
    p99_bps: float
    bias_bps: float
    differences: pl.DataFrame

    def within(self, median_bps: float, p99_bps: float) -> bool:
        """Whether both stay within bounds; true where there is too little to judge."""
        if self.minutes < LEAST_MINUTES:
            return True
        return self.median_bps <= median_bps and self.p99_bps <= p99_bps

    def worst(self, count: int) -> pl.DataFrame:
        """The minutes that differ most."""
        return self.differences.sort(pl.col("bps").abs(), descending=True).head(count)


def with_klines(
    bars: pl.DataFrame,
    klines: pl.DataFrame,
    quality: pl.DataFrame,
    trades: pl.DataFrame | None = None,
) -> Agreement:
    """Hold 1-minute bars against the exchange's own klines of the same day.

    Args:
        bars: Rows of the table `bars`, interval 1m, source `ticks`.
        klines: Rows of the table `klines`. A minute that is absent is one without trades.
        quality: The day's rows of the table `quality`.
        trades: `ts` and `trades` of the minutes, where a tick is not one trade (`trades_beneath`);
            None where it is.

    Quote volume is not compared: exchanges round that of each trade in ways of their own. Numbers
    of trades and what takers bought are compared where the klines tell them.
    """
    ours = bars.select("ts", *_PRICES, *_SUMS, pl.col("trades").alias("n"), "trades")
    if trades is not None:
        counted = trades.select("ts", pl.col("trades").cast(pl.Float64))
        ours = ours.drop("trades").join(counted, on="ts", how="left")
        ours = ours.with_columns(trades=pl.when(pl.col("n") > 0).then("trades").otherwise(0.0))
    theirs = klines.select("ts", *_PRICES, *_SUMS, pl.col("trades").cast(pl.Float64))
    both = ours.join(theirs, on="ts", how="full", coalesce=True, suffix="_theirs").sort("ts")
    here = pl.col("n").fill_null(0.0) > 0
    there = pl.col("volume_theirs").fill_null(0.0) > 0
    told = pl.col("n").is_not_null() & pl.col("volume_theirs").is_not_null()
    compared = both.filter(here | there | told)
    checks = [
        *(
            pl.when(told & (pl.col(name) != pl.col(f"{name}_theirs"))).then(pl.lit(name))
            for name in (*_PRICES, "trades")
        ),
        *(pl.when(told & ~_sums_agree(name)).then(pl.lit(name)) for name in _SUMS),
        pl.when(here & ~told).then(pl.lit(NO_KLINE)),
        pl.when(there & ~told).then(pl.lit("no trades of ours")),
    ]
    distances = [
        (pl.col(name) / pl.col(f"{name}_theirs") - 1.0).abs() for name in (*_PRICES, "volume")
    ]
    differing = (
        compared.with_columns(differs=pl.concat_str(checks, separator=", ", ignore_nulls=True))
        .filter(pl.col("differs") != "")
        .select(
            "ts",
            "differs",
            _shown("").alias("ours"),
            _shown("_theirs").alias("theirs"),
            pl.when(told)
            .then(pl.max_horizontal(distances).fill_nan(1.0).clip(upper_bound=1e9))
            .otherwise(1.0)
            .alias("distance"),
        )
    )
    ends = differing["ts"].to_physical().to_numpy()
    return Agreement(compared.height, differing.with_columns(known=_inside(ends, quality)))


def _sums_agree(name: str) -> pl.Expr:
    bound = (pl.col("n") + 2) * UNIT * pl.col(f"{name}_theirs")
    near = (pl.col(name) - pl.col(f"{name}_theirs")).abs() <= bound
    return near | pl.col(f"{name}_theirs").is_null()


def _shown(suffix: str) -> pl.Expr:
    columns = [f"{name}{suffix}" for name in (*_PRICES, "volume")]
    return (
        pl.when(pl.col(columns[0]).is_null())
        .then(pl.lit("nothing"))
        .otherwise(pl.concat_str(columns, separator=" ", ignore_nulls=True))
    )


def _inside(ends: np.ndarray, quality: pl.DataFrame) -> pl.Series:
    """Which minutes a finding that invalidates overlaps, whenever it showed."""
    inside = np.zeros(ends.size, dtype=np.bool_)
    bad = quality.filter("invalidates")
    spans = bad["ts"].to_physical(), bad["end_ts"].to_physical()
    for start, end in zip(*spans, strict=True):
        inside |= (ends > start) & (ends - MINUTE <= end)
    return pl.Series(inside)


def trades_beneath(ticks: pl.DataFrame) -> pl.DataFrame:
    """How many single trades a day's aggregate trades stand for, minute by minute.

    Args:
        ticks: Rows of the table `ticks`, in id order: `ts`, `first_id`, `last_id`.

    Returns:
        `ts` (end of the minute) and `trades`, of minutes with a tick; null where a tick doesn't
        say. One that is stamped earlier than a tick before it counts as of that one's time, as in
        bars.
    """
    return (
        ticks.lazy()
        .select(
            ts=pl.col("ts").cum_max().dt.truncate("1m").dt.offset_by("1m"),
            trades=pl.col("last_id") - pl.col("first_id") + 1,
        )
        .group_by("ts", maintain_order=True)
        .agg(pl.when(pl.col("trades").null_count() == 0).then(pl.col("trades").sum()))
        .collect()
    )


def with_reference(bars: pl.DataFrame, reference: pl.DataFrame) -> Nearness:
    """Hold 1-minute bars against those of the same minutes at another venue.

    Args:
        bars: Rows of the table `bars`, interval 1m.
        reference: Rows of it of the other venue. Minutes in which either did not trade, or in which
            a bar is not valid, say nothing.
    """
    traded = pl.col("valid") & (pl.col("volume") > 0)
    both = (
        bars.filter(traded)
        .select("ts", pl.col("close").alias("ours"))
        .join(
            reference.filter(traded).select("ts", pl.col("close").alias("theirs")),
            on="ts",
            how="inner",
            maintain_order="left",
        )
        .with_columns(bps=(pl.col("ours") / pl.col("theirs") - 1.0) * 1e4)
    )
    bps = both["bps"].to_numpy()
    if not bps.size:
        return Nearness(0, np.nan, np.nan, np.nan, both)
    size = np.abs(bps)
    return Nearness(
        minutes=bps.size,
        median_bps=float(np.median(size)),
        p99_bps=float(np.quantile(size, 0.99)),
        bias_bps=float(np.median(bps)),
        differences=both,
    )
