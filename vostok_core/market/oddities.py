"""What is odd about a day of trades: prices, quantities and times that can hardly be meant.

Whether a print is odd is seen from what comes after it, so no bar is invalid for it: nobody could
have known when the bar closed. What is odd in so many places that training would be poisoned is an
`error`, and then no bars are built of the day at all (`quality.poison`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import numpy as np
import polars as pl

from vostok_core.market.findings import Finding
from vostok_core.times import MINUTE, SECOND, utc

FEW = 20
"""So many of a kind never poison a day, however few its trades."""

OUTLIER = 0.2
"""Relative distance from the prices on both sides beyond which a print is called an outlier."""

OUTLIERS_POISON = 0.001
"""Share of a day's trades; more outliers (and more than 20) are the work of no market."""

REVERSALS_POISON = 0.01
"""Share of a day's trades; where more (and more than 20) are stamped earlier than one before, by
over a minute at worst, bars are not of the minutes that they name."""

OFF_GRID_RULE = 0.01
"""Share of a day's trades; more that are off a step say that the step was another then."""

CROSSED = 2 / 3
"""Share of the changes of side; where takers buy below the price that they have just sold at in
more of them, the sides are the wrong way round. The most on a day of the real markets in the tests
is 0.33, and sides drawn by lot would give 0.5."""

STANDS = 100
"""Trades of one stamp, at least, that a clock which stood still leaves."""

LEAP = 30 * SECOND
"""Shortest step of the clock that is looked at."""

MISSED = 300
"""Trades that would have been expected in a step of the clock, at least, if it leapt. The most that
an honest lull of the real markets in the tests would have held is 127."""

_LEAST_CHANGES = 200  # of side; in fewer, chance could cross as many
_NEIGHBOURS = 11  # prints on each side whose median is the level that an outlier is far from
_MOST_ROWS = 20  # of one kind; more become one row
_PACE = 200  # trades on each side that the usual pace is told from
_LEAST_PACE = 50  # with fewer it can't be told
_NOISE = 4 * 2.0**-52  # relative; of a decimal that went through sums of doubles at its source
_EXACT = 2.0**44  # multiples of a step up to here lie far enough apart to be told in spite of it


def outliers(ticks: pl.DataFrame, ts: np.ndarray) -> list[Finding]:
    """Prints far from the level before and from the level after them.

    Args:
        ticks: A day's rows of the table `ticks`, in id order.
        ts: Their times, int64 microseconds.
    """
    price = ticks["price"]
    if price.len() < 3:
        return []
    values = price.to_numpy()
    if values.max() <= values.min() * (1.0 + OUTLIER):
        return []  # no price can be that far from any median, which spares the medians
    behind = price.shift(1).rolling_median(_NEIGHBOURS, min_samples=1).to_numpy()
    ahead = price.reverse().shift(1).rolling_median(_NEIGHBOURS, min_samples=1).reverse().to_numpy()
    far = (np.abs(values / behind - 1.0) > OUTLIER) & (np.abs(values / ahead - 1.0) > OUTLIER)
    at = np.flatnonzero(far)
    if at.size > FEW:
        detail = f"{at.size} prices more than {OUTLIER:.0%} away from those around them"
        severity: Literal["warn", "error"] = "warn"
        if at.size > OUTLIERS_POISON * values.size:
            severity = "error"
            detail += f": {at.size / values.size:.2%} of the day's"
        span = int(ts[at].min()), int(ts[at].max())
        return [Finding("outlier", severity, *span, int(at.size), detail)]
    return [
        Finding(
            "outlier",
            "warn",
            int(ts[i]),
            int(ts[i]),
            1,
            f"price {values[i]:g} between levels of {behind[i]:g} and {ahead[i]:g}",
        )
        for i in at
    ]


def off_grid(
    ticks: pl.DataFrame, ts: np.ndarray, price_tick: Decimal, quantity_step: Decimal
) -> list[Finding]:
    """Prices and quantities that are no multiples of the exchange's steps.

    A few are the mark of a damaged source. Many say that the declared step was not in force on the
    day, which harms no bar: orders are rounded to it, and past trades are not.

    Args:
        ticks: A day's rows of the table `ticks`.
        ts: Their times, int64 microseconds.
        price_tick: Smallest price step, as declared.
        quantity_step: Smallest quantity step.
    """
    found = []
    for kind, column, step in (
        ("off_tick", "price", price_tick),
        ("off_step", "qty", quantity_step),
    ):
        values = ticks[column].to_numpy()
        at = np.flatnonzero(_off(values, step))
        if not at.size:
            continue
        count, share = int(at.size), at.size / values.size
        one, many = ("price", "prices") if column == "price" else ("quantity", "quantities")
        words = f"1 {one} is no multiple" if count == 1 else f"{count} {many} are no multiples"
        detail = f"{words} of {step:f}, such as {values[at[0]]:.15g}"
        severity: Literal["info", "warn"] = "warn"
        if share > OFF_GRID_RULE:
            severity = "info"
            detail += f": {share:.1%} of the day's, so {column} moved by another step then"
        span = int(ts[at].min()), int(ts[at].max())
        found.append(Finding(kind, severity, *span, count, detail))
    return found


def _off(values: np.ndarray, step: Decimal) -> np.ndarray:
    """Which doubles are not multiples of a step, but for the noise of binary sums.

    With step = a / b in lowest terms, n * a and b are whole numbers that doubles hold exactly, so
    the double n * a / b is the one nearest to the n-th multiple, as is that of its printed decimal.
    """
    numerator, denominator = step.as_integer_ratio()
    whole = values * denominator
    if numerator == 1:  # as most are
        np.rint(whole, out=whole)
    else:
        whole = np.rint(whole / numerator) * numerator
    near = whole / denominator
    off: np.ndarray = near != values
    if off.any():  # so that the usual day pays for one comparison
        off &= (np.abs(near - values) > _NOISE * values) & (whole < _EXACT)
    return off


def crossed(ticks: pl.DataFrame, ts: np.ndarray) -> list[Finding]:
    """That takers buy below the price they sell at, as at a bid above the ask.

    Where a purchase follows a sale, or the other way round, the price steps over the spread: up to
    the ask, or down to the bid. If most steps go the other way, the source says `buyer_maker` of
    what it should say taker of, and everything made of the flow of orders has the wrong sign.

    Args:
        ticks: A day's rows of the table `ticks`, in id order.
        ts: Their times, int64 microseconds.
    """
    sold, price = ticks["buyer_maker"].to_numpy(), ticks["price"].to_numpy()
    at = np.flatnonzero(sold[1:] != sold[:-1]) + 1
    step = np.where(sold[at], price[at - 1] - price[at], price[at] - price[at - 1])
    changes = int(np.count_nonzero(step))
    odd = at[step < 0]
    if changes < _LEAST_CHANGES or odd.size <= CROSSED * changes:
        return []
    detail = (
        f"takers buy below where they have just sold, or sell above where they bought, in "
        f"{odd.size} of {changes} changes of side: buyers and sellers are the wrong way round"
    )
    span = int(ts[odd].min()), int(ts[odd].max())
    return [Finding("crossed", "error", *span, int(odd.size), detail)]


def reversals(ts: np.ndarray) -> list[Finding]:
    """Times that run backwards in id order, all in one finding.

    Args:
        ts: Times in id order, int64 microseconds.
    """
    newest = np.maximum.accumulate(ts)
    at = np.flatnonzero(ts < newest)
    if not at.size:
        return []
    worst = int((newest - ts).max())
    detail = f"{at.size} trades are stamped earlier than one before them, by up to {worst} us"
    span = int(ts[at].min()), int(newest[at].max())
    poison = worst > MINUTE and at.size > max(FEW, REVERSALS_POISON * ts.size)
    return [Finding("time_reversal", "error" if poison else "warn", *span, int(at.size), detail)]


def clocks(ts: np.ndarray, ids: np.ndarray | None) -> list[Finding]:
    """Where the market's clock stood still or leapt while trades went on.

    A step of the clock holds as many trades as the slower of the paces before and after it would
    have brought. About as many of one stamp right before it were stamped by a clock that stood
    still, and then caught up. Where far more are lacking and ids go on, nothing is missing: the
    clock leapt, or the market was halted. Both look the same from outside.

    Args:
        ts: Times in id order, int64 microseconds.
        ids: Ids given by the exchange; None where it gives none, and leaps can't be told then.
    """
    steps = np.diff(ts)
    leaps = np.flatnonzero(steps > LEAP)
    if not leaps.size:
        return []
    starts = np.concatenate(([0], np.flatnonzero(steps) + 1))  # of runs of one stamp
    found = []
    for i in leaps:
        first = int(starts[np.searchsorted(starts, i, side="right") - 1])
        pace = _pace(ts, first, int(i))
        if pace is None:
            continue
        step, held = int(steps[i]), int(i) - first + 1
        expected = step * pace
        at = f"{utc(int(ts[i])):%Y-%m-%d %H:%M:%S}"
        if held >= STANDS and held / 4 <= expected <= held * 4:
            detail = f"{held} trades are all stamped {at}, and then the clock steps {_told(step)}"
            kind, count = "clock_still", held
        elif ids is not None and ids[i + 1] == ids[i] + 1 and expected - held > MISSED:
            detail = (
                f"the clock leaps {_told(step)} from {at} with no id missing, where some "
                f"{expected:.0f} trades would have been usual"
            )
            kind, count = "clock_leap", 1
        else:
            continue
        found.append(Finding(kind, "warn", int(ts[i]), int(ts[i + 1]), count, detail))
    return _gathered(found)


def _pace(ts: np.ndarray, first: int, last: int) -> float | None:
    """Trades a microsecond around a step of the clock: the slower of before and after it.

    Args:
        ts: Times, int64 microseconds.
        first: The first trade of the stamp that the step begins at.
        last: The last one.
    """
    before, after = min(_PACE, first), min(_PACE, ts.size - last - 2)
    if min(before, after) < _LEAST_PACE:
        return None
    lasted = int(ts[first] - ts[first - before]), int(ts[last + 1 + after] - ts[last + 1])
    if min(lasted) <= 0:
        return None
    return min(before / lasted[0], after / lasted[1])


def _gathered(found: list[Finding]) -> list[Finding]:
    """The findings, or one for all of a kind where there are too many."""
    kept = []
    for kind in ("clock_still", "clock_leap"):
        own = [finding for finding in found if finding.kind == kind]
        if len(own) > _MOST_ROWS:
            count = sum(finding.count for finding in own)
            detail = f"{len(own)} times in the day, first: {own[0].detail}"
            own = [Finding(kind, "warn", own[0].ts, own[-1].end_ts, count, detail)]
        kept += own
    return kept


def _told(us: int) -> str:
    minutes, seconds = divmod(us // SECOND, 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
