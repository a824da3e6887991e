"""The rules of the gate: what each measures, the bound it must keep, and why in plain words.

A rule compares a value with a bound; a value that can't be computed (NaN) fails, and its reason
says what is missing. No rule raises on poor evidence.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from vostok_core.backtest.moments import Hedge, Moments, max_drawdown
from vostok_core.backtest.observed import LEAST_OBSERVED
from vostok_core.promotion.edge import probability_of_edge, track_record_needed
from vostok_core.settings import GateProfile

Comparison = Literal[">=", "<=", ">", "<"]
Verdict = Literal["pass", "fail"]

DAYS_A_YEAR = 365
_BPS = 1e4

_COMPARE: dict[Comparison, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Rule:
    """One rule, applied.

    Attributes:
        name: Its name.
        value: What was measured; NaN when it can't be.
        bound: What the profile asks for; infinite when no value would do.
        comparison: How the value must compare with the bound.
        verdict: Whether it does.
        reason: The verdict in a plain sentence, with the numbers.
    """

    name: str
    value: float
    bound: float
    comparison: Comparison
    verdict: Verdict
    reason: str


def _rule(name: str, value: float, comparison: Comparison, bound: float, reason: str) -> Rule:
    passed = _COMPARE[comparison](value, bound)
    return Rule(name, value, bound, comparison, "pass" if passed else "fail", reason)


def percent(value: float, digits: int = 1) -> str:
    """A fraction as a percentage, never rounded up to certainty."""
    if math.isnan(value):
        return "unknown"
    rounded = round(value * 100, digits)
    if rounded >= 100 > value * 100:
        return f"over {100 - 10**-digits:.{digits}f} %"
    return f"{rounded:.{digits}f} %"


def complete_days(usable: int, unseen: int, span: int, repeated: int, profile: GateProfile) -> Rule:
    """Share of the days from first to last that were observed and have one finite return.

    Args:
        usable: Days that were and have.
        unseen: Days of the path that are no evidence, since too little of them was observed.
        span: Days from first to last.
        repeated: Days that appear more than once.
        profile: The bounds.
    """
    value = usable / span if span and not repeated else math.nan
    if repeated:
        reason = f"{repeated} days appear more than once, so the record can't be read."
    elif not span:
        reason = "There is no out-of-sample day at all."
    else:
        reason = (
            f"{usable} of the {span} days from first to last were observed and have a return "
            f"({percent(value)}); at least {percent(profile.min_coverage)} are asked for, since "
            "days left out could have been chosen."
        )
        if unseen:
            reason += (
                f" Of {unseen} {'day' if unseen == 1 else 'days'} less than "
                f"{percent(LEAST_OBSERVED, 0)} of the bars are valid: no evidence."
            )
    return _rule("complete_days", value, ">=", profile.min_coverage, reason)


def never_halted(halts: pl.DataFrame) -> Rule:
    """Number of times the engine stopped trading until a person would have acted."""
    if halts.is_empty():
        reason = "Nothing halted the engine: it was free to trade to the end of the path."
    else:
        ts, why = halts.sort("ts").select("ts", "reason").row(0)
        reason = (
            f"The engine halted on {ts:%Y-%m-%d} at {ts:%H:%M} UTC ({why}), and only a person sets "
            "it going again: the days after that, without a trade, are no record of the strategy."
        )
    return _rule("never_halted", float(halts.height), "<=", 0.0, reason)


def min_days(count: int, profile: GateProfile) -> Rule:
    """Number of out-of-sample days that were observed."""
    reason = f"{count} out-of-sample days were observed; at least {profile.min_days} are asked for."
    return _rule("min_days", float(count), ">=", float(profile.min_days), reason)


def min_trades(count: int, profile: GateProfile) -> Rule:
    """Number of closed positions."""
    reason = f"{count} closed positions; at least {profile.min_trades} are asked for."
    return _rule("min_trades", float(count), ">=", float(profile.min_trades), reason)


def min_track_record(record: Moments, trials: int, profile: GateProfile) -> Rule:
    """Days observed against the days that a record of this shape needs."""
    needed = track_record_needed(record, trials, alpha=1 - profile.confidence)
    if math.isnan(needed):
        reason = f"{_no_sharpe(record)} so there is no length of record that would do."
    elif math.isinf(needed):
        reason = (
            f"The Sharpe ratio is {_yearly(record)} a year, not above zero: no record is long "
            "enough."
        )
    else:
        reason = (
            f"A Sharpe ratio of {_yearly(record)} a year, with this skewness, kurtosis and "
            f"autocorrelation{_chosen(trials)}, needs {needed:.1f} days to be told from luck; "
            f"{record.count} were observed."
        )
    return _rule("min_track_record", float(record.count), ">=", needed, reason)


def psr_flat(record: Moments, trials: int, profile: GateProfile) -> Rule:
    """Probability of an edge over staying in cash."""
    value = probability_of_edge(record, trials)
    if math.isnan(value):
        reason = f"{_no_sharpe(record)} so nothing can be told from luck."
    else:
        reason = (
            f"{_worthless(trials)} would look worse than this in {percent(value)} of records of "
            f"{record.count} days; {percent(profile.confidence)} is asked for (Sharpe ratio "
            f"{_yearly(record)} a year)."
        )
    return _rule("psr_flat", value, ">=", profile.confidence, reason)


def psr_buy_and_hold(hedge: Hedge, record: Moments, trials: int, profile: GateProfile) -> Rule:
    """Probability of an edge over exposure to the instrument itself."""
    value = probability_of_edge(record, trials, inflation=hedge.inflation)
    if math.isnan(value):
        missing = (
            "a daily return is not a number."
            if math.isnan(hedge.beta)
            else "it never varies."
            if record.freedom >= 1
            else f"{record.count} days are too few."
        )
        reason = f"What is left after holding the instrument in proportion can't be told: {missing}"
    else:
        reason = (
            f"With the market's part taken out (beta {hedge.beta:.2f}), {_worthless(trials, 'a')} "
            f"would look worse in {percent(value)} of such records; "
            f"{percent(profile.confidence)} is asked for (Sharpe ratio of the rest "
            f"{_yearly(record)} a year)."
        )
    return _rule("psr_buy_and_hold", value, ">=", profile.confidence, reason)


def worst_drawdown(daily: pl.Series, equity: pl.Series | None, profile: GateProfile) -> Rule:
    """Greatest loss from a peak, on marks within the day where there are any.

    What the path began with is a peak too; the first mark may come after the first loss.
    """
    worth = [1.0]
    for value in daily:
        worth.append(worth[-1] * (1 + (math.nan if value is None else value)))
    marks = [] if equity is None else equity.to_list()
    if not all(mark is not None and math.isfinite(mark) for mark in [*worth, *marks]):
        value = math.nan
        reason = "A daily return or a mark of equity is not a number."
    else:
        # The last mark is the last day's end, so that day's worth says what the path began with.
        start = [marks[-1] / worth[-1]] if marks and worth[-1] > 0 else []
        value = max(max_drawdown(worth), max_drawdown([*start, *marks]))
        reason = (
            f"The path lost at worst {percent(value)} from a peak; at most "
            f"{percent(profile.max_drawdown)} is allowed."
        )
    return _rule("max_drawdown", value, "<=", profile.max_drawdown, reason)


def cost_stress(trades: pl.DataFrame, profile: GateProfile) -> Rule:
    """Mean net return of a trade, in basis points, with fees and slippage multiplied."""
    if trades.is_empty():
        return _rule("cost_stress", math.nan, ">", 0.0, "There is no closed position to stress.")
    rows = trades.select(
        "net_return",
        (pl.col("fees") + pl.col("slippage")) / (pl.col("entry_price") * pl.col("qty")),
    ).rows()
    extra = profile.cost_stress - 1
    if any(x is None or not math.isfinite(x) for row in rows for x in row):
        reason = "A trade's return or cost is not a number."
        return _rule("cost_stress", math.nan, ">", 0.0, reason)
    net = math.fsum(row[0] for row in rows) / len(rows) * _BPS
    value = net - extra * math.fsum(row[1] for row in rows) / len(rows) * _BPS
    reason = (
        f"With fees and slippage times {profile.cost_stress:g}, a trade brings {value:.1f} bp on "
        f"average ({net:.1f} bp as simulated); it must stay above 0."
    )
    return _rule("cost_stress", value, ">", 0.0, reason)


def bundle_integrity(checks: Mapping[str, bool]) -> Rule:
    """Number of the bundle's own checks that failed."""
    failed = [name for name, passed in checks.items() if not passed]
    if not checks:
        return _rule(
            "bundle_integrity", math.nan, "<=", 0.0, "The bundle was not checked: there is none."
        )
    reason = (
        f"The bundle fails {', '.join(failed)}."
        if failed
        else f"The bundle passes its {len(checks)} checks ({', '.join(checks)})."
    )
    return _rule("bundle_integrity", float(len(failed)), "<=", 0.0, reason)


def _yearly(record: Moments) -> str:
    return f"{record.sharpe * math.sqrt(DAYS_A_YEAR):.2f}"


def _no_sharpe(record: Moments) -> str:
    if record.std == 0.0:
        return "The path never moved,"
    if record.freedom < 1:
        return f"{record.count} days give no Sharpe ratio,"
    return "A daily return is not a number,"


def _chosen(trials: int) -> str:
    return "" if trials == 1 else f", chosen as the best of {trials} trials"


def _worthless(trials: int, article: str = "A") -> str:
    if trials == 1:
        return f"{article} strategy without an edge"
    return f"{'The' if article == 'A' else 'the'} best of {trials} strategies without an edge"
