"""Judge a configuration by its out-of-sample path.

`judge` is a pure function of evidence and profile. It never raises on poor evidence: no trades, no
variance or a NaN is a refusal with a reason. docs/promotion.md defends each rule and its bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from vostok_core.backtest.moments import Hedge, Moments, hedge, moments
from vostok_core.backtest.observed import observed_days
from vostok_core.backtest.sharpe import (
    deflated_sharpe,
    effective_rank,
    expected_maximum,
    normal_ppf,
    psr,
    psr_2012,
    sharpe_variance,
)
from vostok_core.promotion import rules as r
from vostok_core.promotion.edge import promotable_sharpe
from vostok_core.promotion.profile import profile_hash
from vostok_core.promotion.rules import DAYS_A_YEAR, Rule
from vostok_core.promotion.trials import TrialKey
from vostok_core.settings import GateProfile

_YEAR = math.sqrt(DAYS_A_YEAR)
_LEAST_COMMON_DAYS = 8


@dataclass(frozen=True)
class Evidence:
    """What a decision is made on.

    Attributes:
        daily: The configuration's path, by the table `trials`: one row a UTC day, net of costs.
            Days that were hardly observed are no part of the record: see `backtest.observed`.
        trades: Its closed positions, by the table `backtest_trades`.
        halts: When and why the engine stopped trading on it, by the table `backtest_halts`.
        trial_returns: Every trial logged for the instrument, of all strategies, this one included.
        bundle_checks: Check of the candidate bundle -> passed; golden rows and hashes at least.
        equity: Marks within the day, by the table `backtest_equity`; for the drawdown.
    """

    daily: pl.DataFrame
    trades: pl.DataFrame
    halts: pl.DataFrame
    trial_returns: Mapping[TrialKey, pl.DataFrame]
    bundle_checks: Mapping[str, bool]
    equity: pl.DataFrame | None = None


@dataclass(frozen=True)
class Figure:
    """A number that is reported and not gated."""

    name: str
    value: float
    unit: str
    description: str


@dataclass(frozen=True)
class Decision:
    """What the gate decided, by which rules.

    Attributes:
        decision: `promoted` when every rule passes.
        rules: Every rule with value, bound, verdict and reason.
        reported: Figures that have no say.
        trials: K, the trials allowed for.
        profile: The bounds.
    """

    decision: Literal["promoted", "refused"]
    rules: tuple[Rule, ...]
    reported: tuple[Figure, ...]
    trials: int
    profile: GateProfile

    @property
    def promoted(self) -> bool:
        return self.decision == "promoted"

    @property
    def profile_hash(self) -> str:
        return profile_hash(self.profile)

    @property
    def failed(self) -> tuple[Rule, ...]:
        """The rules that fail, in the order of the gate."""
        return tuple(rule for rule in self.rules if rule.verdict == "fail")

    @property
    def summary(self) -> str:
        """The decision in a sentence."""
        if self.promoted:
            return f"Promoted: all {len(self.rules)} rules hold."
        names = ", ".join(rule.name for rule in self.failed)
        return f"Refused: {len(self.failed)} of {len(self.rules)} rules fail ({names})."


def judge(evidence: Evidence, profile: GateProfile) -> Decision:
    """Apply every rule of a profile to the evidence.

    Args:
        evidence: The path and what belongs to it.
        profile: The bounds.
    """
    daily = evidence.daily.sort("date")
    record = observed_days(daily)
    returns = _numbers(record["net_return"])
    benchmark = _numbers(record["benchmark_return"])
    trials = max(len(evidence.trial_returns), profile.min_trials)
    flat = moments(returns)
    hedged_by = hedge(returns, benchmark)
    hedged = moments(hedged_by.returns, fitted=1)
    applied = (
        _complete_days(daily, returns, profile),
        r.never_halted(evidence.halts),
        r.min_days(record.height, profile),
        r.min_trades(evidence.trades.height, profile),
        r.min_track_record(flat, trials, profile),
        r.psr_flat(flat, trials, profile),
        r.psr_buy_and_hold(hedged_by, hedged, trials, profile),
        r.worst_drawdown(
            daily["net_return"],
            None if evidence.equity is None else evidence.equity["equity"],
            profile,
        ),
        r.cost_stress(evidence.trades, profile),
        r.bundle_integrity(evidence.bundle_checks),
    )
    return Decision(
        decision="promoted" if all(rule.verdict == "pass" for rule in applied) else "refused",
        rules=applied,
        reported=tuple(_reported(evidence, flat, hedged_by, hedged, trials, profile, returns)),
        trials=trials,
        profile=profile,
    )


def _numbers(series: pl.Series) -> list[float]:
    return [math.nan if value is None else float(value) for value in series]


def _complete_days(daily: pl.DataFrame, returns: list[float], profile: GateProfile) -> Rule:
    dates = daily["date"].to_list()
    span = (dates[-1] - dates[0]).days + 1 if dates else 0
    usable = sum(map(math.isfinite, returns))
    unseen = len(dates) - len(returns)
    return r.complete_days(usable, unseen, span, len(dates) - len(set(dates)), profile)


def _reported(
    evidence: Evidence,
    flat: Moments,
    hedged_by: Hedge,
    hedged: Moments,
    trials: int,
    profile: GateProfile,
    returns: list[float],
) -> list[Figure]:
    known = math.isfinite(flat.sharpe)
    rho = flat.cautious_autocorrelation
    low = high = published = classic_psr = classic_dsr = math.nan
    effective, spread = _effective_trials(evidence.trial_returns)
    if known:
        variance = sharpe_variance(flat.sharpe, flat.count, flat.skewness, flat.kurtosis, rho)
        width = normal_ppf(0.975) * math.sqrt(variance) if variance > 0 else math.nan
        low, high = flat.sharpe - width, flat.sharpe + width
        start = expected_maximum(trials) * math.sqrt(
            sharpe_variance(0.0, flat.count, autocorrelation=rho)
        )
        shape = (flat.skewness, flat.kurtosis)
        published = psr(flat.sharpe, start, flat.count, *shape, rho, trials)
        classic_psr = psr_2012(flat.sharpe, 0.0, flat.count, *shape)
        classic_dsr = deflated_sharpe(flat.sharpe, flat.count, trials, spread, *shape)
    gains = [value for value in returns if value > 0]
    return [
        Figure("sharpe", flat.sharpe * _YEAR, "per year", "daily Sharpe ratio times sqrt(365)"),
        Figure("sharpe_low", low * _YEAR, "per year", "lower end of its 95 % interval"),
        Figure("sharpe_high", high * _YEAR, "per year", "upper end of its 95 % interval"),
        Figure("beta", hedged_by.beta, "", "slope of daily returns on those of holding"),
        Figure(
            "alpha",
            hedged.mean * DAYS_A_YEAR,
            "fraction per year",
            "return beyond beta times that of holding",
        ),
        Figure(
            "appraisal_ratio",
            hedged.sharpe * _YEAR,
            "per year",
            "Sharpe ratio of what is left after beta times holding",
        ),
        Figure("psr_2012", classic_psr, "probability", "against flat, one trial assumed"),
        Figure("psr_2025", published, "probability", "as published, all trials allowed for"),
        Figure("deflated_sharpe", classic_dsr, "probability", "2014, by the trials' variance"),
        Figure("trials", float(trials), "trials", "configurations allowed for"),
        Figure("effective_trials", effective, "trials", "independent trials they are worth"),
        Figure("skewness", flat.skewness, "", "of daily returns"),
        Figure("kurtosis", flat.kurtosis, "", "of daily returns; 3 for a normal"),
        Figure("autocorrelation", flat.autocorrelation, "", "of a day's return with the next"),
        Figure(
            "largest_day_share",
            max(gains) / math.fsum(gains) if gains else math.nan,
            "fraction",
            "part of all gains that the best day made",
        ),
        Figure(
            "promotable_sharpe",
            promotable_sharpe(flat.count, trials, alpha=1 - profile.confidence, autocorrelation=rho)
            * _YEAR
            if flat.count > 2
            else math.nan,
            "per year",
            "Sharpe ratio that this many days and trials ask for",
        ),
    ]


def _effective_trials(trials: Mapping[TrialKey, pl.DataFrame]) -> tuple[float, float]:
    """Effective rank of the trials' correlation, and the variance of their Sharpe ratios.

    Trials that never moved have no correlation and count as one each; too few common days count
    every trial as independent.
    """
    # How much of a day was seen was not logged before it was asked; then every day counts.
    observed = {
        key: observed_days(frame.sort("date").with_columns(pl.col("observed").fill_null(1.0)))
        for key, frame in trials.items()
    }
    records = {key: moments(_numbers(frame["net_return"])) for key, frame in observed.items()}
    ratios = [m.sharpe for m in records.values() if math.isfinite(m.sharpe)]
    mean = math.fsum(ratios) / len(ratios) if ratios else 0.0
    spread = math.fsum((x - mean) ** 2 for x in ratios) / max(1, len(ratios) - 1)
    moving = [key for key, m in records.items() if math.isfinite(m.sharpe)]
    still = len(trials) - len(moving)
    if len(moving) < 2:
        return float(max(1, len(trials))), spread
    joined: pl.DataFrame | None = None
    for index, key in enumerate(moving):
        column = observed[key].select("date", pl.col("net_return").alias(str(index)))
        joined = column if joined is None else joined.join(column, on="date")
    assert joined is not None
    matrix = joined.drop("date").to_numpy()
    if len(matrix) < _LEAST_COMMON_DAYS or not (np.ptp(matrix, axis=0) > 0).all():
        return float(len(trials)), spread
    return effective_rank(np.corrcoef(matrix, rowvar=False)) + still, spread
