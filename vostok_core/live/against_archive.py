"""A live day against the archive's record of it: trades, bars, features, decisions.

The archive comes later and is whole. A stream may miss a trade, and a timer may close a bar before
its last one came, which then counts in a later bar. Everything else follows from that, or is a
mistake; so each finding says what it follows from, and `unexplained` where nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from vostok_core.live.cuts import Cut
from vostok_core.live.findings import NAN, Deviation
from vostok_core.market.bars import BAR_FIELDS
from vostok_core.times import utc

UNEXPLAINED = "unexplained"
_CONTENT = ("ts", "price", "qty", "buyer_maker")
_NUMBERS = BAR_FIELDS[1:]
Causes = dict[int, str]
"""End of a bar -> why it may differ."""


@dataclass(frozen=True)
class Trades:
    """How the trades of a day differ.

    Attributes:
        found: The findings.
        causes: The bars that they make differ.
    """

    found: list[Deviation]
    causes: Causes


def compare_trades(
    live: pl.DataFrame,
    archive: pl.DataFrame,
    cuts: Sequence[Cut],
    interval_us: int,
    ids: tuple[int, int],
) -> Trades:
    """Trades of a day as the daemon saw them, against those of the archive.

    Args:
        live: Rows of `live_ticks`.
        archive: Rows of `ticks`.
        cuts: Where bars ended, of the day and the one after, in order of time.
        interval_us: Length of a bar.
        ids: First and last id that the daemon can have seen.

    Returns:
        `missed_trade`: unbroken ids that only the archive has. `extra_trade`: that only the daemon
        has. `other_trade`: a trade with another content. `late_trade`: one that counted in a later
        bar than the archive's.
    """
    within = pl.col("trade_id").is_between(*ids)
    ours, theirs = (
        frame.filter(within).sort("trade_id").with_columns(pl.col("ts").to_physical())
        for frame in (live, archive)
    )
    # A trade that is stamped late counts in the bar of the newest before it.
    theirs = theirs.with_columns(bar=(pl.col("ts").cum_max() // interval_us + 1) * interval_us)
    found: list[Deviation] = []
    causes: Causes = {}
    missed = theirs.join(ours, on="trade_id", how="anti")
    found += _unbroken("missed_trade", missed, ours=False)
    causes |= dict.fromkeys(missed["bar"].to_list(), "missed_trade")
    found += _unbroken("extra_trade", ours.join(theirs, on="trade_id", how="anti"), ours=True)
    both = ours.join(theirs, on="trade_id", suffix="_then", maintain_order="left")
    other = both.filter(pl.any_horizontal(pl.col(n) != pl.col(f"{n}_then") for n in _CONTENT))
    for row in other.iter_rows(named=True):
        names = ", ".join(name for name in _CONTENT if row[name] != row[f"{name}_then"])
        found.append(
            Deviation(
                "other_trade", row["ts"], row["price"], row["price_then"],
                row["price"] - row["price_then"], "quote per base",
                detail=f"trade {row['trade_id']}: {names} differ",
            )
        )  # fmt: skip
        causes[row["bar"]] = "other_trade"
    last_ids = np.array([cut.last_id for cut in cuts], dtype=np.int64)
    ends = np.array([cut.ts for cut in cuts], dtype=np.int64)
    place = np.searchsorted(last_ids, both["trade_id"].to_numpy(), side="left")
    counted = np.where(place < ends.size, np.append(ends, -1)[np.minimum(place, ends.size)], -1)
    late = both.with_columns(counted=pl.Series(counted)).filter(pl.col("counted") > pl.col("bar"))
    for row in late.iter_rows(named=True):
        apart = (row["counted"] - row["bar"]) / 1e6
        found.append(
            Deviation(
                "late_trade", row["ts"], row["counted"] / 1e6, row["bar"] / 1e6, apart, "s",
                detail=f"trade {row['trade_id']} counted in the bar that ends at "
                f"{utc(row['counted']):%H:%M:%S}",
            )
        )  # fmt: skip
        for end in (row["bar"], row["counted"]):
            causes.setdefault(end, "late_trade")
    return Trades(found, causes)


def _unbroken(kind: str, rows: pl.DataFrame, *, ours: bool) -> list[Deviation]:
    """One finding for each unbroken run of ids."""
    groups = rows.with_columns(run=(pl.col("trade_id").diff().fill_null(1) != 1).cum_sum())
    found = []
    for part in groups.partition_by("run", maintain_order=True):
        first, last, count = part["trade_id"][0], part["trade_id"][-1], part.height
        sides = (float(count), 0.0) if ours else (0.0, float(count))
        found.append(
            Deviation(
                kind, int(part["ts"][0]), *sides, float(count), "trades", count,
                detail=f"trade {first}" if count == 1 else f"trades {first} to {last}",
            )
        )  # fmt: skip
    return found


def compare_bars(
    live: pl.DataFrame, archive: pl.DataFrame, causes: Mapping[int, str]
) -> list[Deviation]:
    """Bars as the daemon closed them, against those of the archive.

    Args:
        live: Rows of `live_steps`, each bar once.
        archive: Rows of `bars`; those before the first and after the last of `live` are left out.
        causes: As of `compare_trades`.

    Returns:
        `bar`: numbers differ; `validity`: whether something was wrong with it does; `no_bar`: only
        one of them has it.
    """
    ours = live.select(pl.col("ts").to_physical(), *(f"bar_{n}" for n in _NUMBERS), "bar_valid")
    theirs = archive.select(pl.col("ts").to_physical(), *_NUMBERS, "valid").filter(
        pl.col("ts").is_between(ours["ts"].min(), ours["ts"].max())
    )
    both = ours.join(theirs, on="ts", how="full", coalesce=True).sort("ts")
    found: list[Deviation] = []
    before = ""
    for row in both.iter_rows(named=True):
        ts = row["ts"]
        if row["bar_close"] is None or row["close"] is None:
            here = row["bar_close"] is not None
            sides = (1.0, 0.0) if here else (0.0, 1.0)
            found.append(Deviation("no_bar", ts, *sides, 1.0, "bars", cause=UNEXPLAINED))
            continue
        differ = [n for n in _NUMBERS if not _same(row[f"bar_{n}"], _number(row[n]))]
        # The first return and the first change of side of a bar look at the trade before it.
        cause = causes.get(ts) or before or UNEXPLAINED
        before = ""
        if differ:
            before = cause if cause != UNEXPLAINED else ""
            close, then = row["bar_close"], row["close"]
            found.append(
                Deviation(
                    "bar", ts, close, then, (close / then - 1.0) * 1e4, "bps of the close",
                    cause=cause, detail=f"{', '.join(differ)} differ",
                )
            )  # fmt: skip
        if row["bar_valid"] != row["valid"]:
            sides = float(row["bar_valid"]), float(row["valid"])
            cause = causes.get(ts) or (cause if differ else "quality")
            found.append(Deviation("validity", ts, *sides, sides[0] - sides[1], "", cause=cause))
    return found


def compare_features(
    live: pl.DataFrame, archive: pl.DataFrame, columns: Iterable[str], cause: str
) -> list[Deviation]:
    """Features of bars that both have, one finding a feature that differs.

    Args:
        live: Rows of `live_steps`, each bar once.
        archive: Rows of `features`.
        columns: Features of both.
        cause: What differences follow from.
    """
    both = live.join(archive, on="ts", suffix="_then", maintain_order="left")
    found = []
    for name in columns:
        ours, theirs = both[name].to_numpy(), both[f"{name}_then"].to_numpy()
        rows = np.flatnonzero((ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs)))
        if not rows.size:
            continue
        apart = np.nan_to_num(np.abs(ours[rows] - theirs[rows]), nan=np.inf)
        worst = rows[int(apart.argmax())]
        first = int(both["ts"].to_physical()[int(rows[0])])
        found.append(
            Deviation(
                "feature", first, float(ours[worst]), float(theirs[worst]),
                float(ours[worst] - theirs[worst]), "of the feature", int(rows.size), cause,
                f"{name}: {rows.size} of {both.height} bars differ",
            )
        )  # fmt: skip
    return found


def compare_decisions(live: pl.DataFrame, archive: pl.DataFrame, cause: str) -> list[Deviation]:
    """Decisions as the daemon made them, against those that the same models make of the archive.

    Args:
        live: Rows of `live_steps` with an event.
        archive: `ts`, `probability`, `threshold`, `valid` of the archive's events.
        cause: What differences follow from.

    Returns:
        `event`: only one of them has it; `decision`: the probability differs; `flip`: so much that
        the one trades and the other doesn't.
    """
    names = ("probability", "threshold", "valid")
    both = (
        live.select("ts", *names)
        .join(archive.select("ts", *names), on="ts", how="full", coalesce=True, suffix="_then")
        .with_columns(pl.col("ts").to_physical())
        .sort("ts")
    )
    found: list[Deviation] = []
    for row in both.iter_rows(named=True):
        ts, ours, theirs = row["ts"], row["probability"], row["probability_then"]
        if ours is None or theirs is None:
            sides = (0.0, 1.0) if ours is None else (1.0, 0.0)
            found.append(Deviation("event", ts, *sides, 1.0, "events", cause=cause))
            continue
        acts = [row[f"valid{s}"] and row[f"probability{s}"] > row[f"threshold{s}"] for s in _SIDES]
        kind = "flip" if acts[0] != acts[1] else "decision"
        if kind == "flip" or not _same(ours, theirs):
            found.append(
                Deviation(kind, ts, ours, theirs, ours - theirs, "probability", cause=cause)
            )
    return found


_SIDES = ("", "_then")


def _number(value: float | None) -> float:
    return NAN if value is None else float(value)


def _same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)  # noqa: PLR0124 (not a number)
