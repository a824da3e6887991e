"""The gate: who is promoted, who is refused, and that worse evidence never fares better."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import table
from vostok_core.promotion import profile
from vostok_core.promotion.gate import Decision, Evidence, judge
from vostok_core.promotion.profile import profile_hash
from vostok_core.promotion.records import decision_frame, gate_report
from vostok_core.settings import GateProfile

PROFILE = GateProfile()
START = date(2024, 1, 1)
GOOD_BUNDLE = {"hashes": True, "golden_rows": True}
NO_HALT = table("backtest_halts").empty()


def days(returns, benchmark=None) -> pl.DataFrame:
    returns = np.asarray(returns, dtype=float)
    benchmark = np.zeros_like(returns) if benchmark is None else np.asarray(benchmark, dtype=float)
    return pl.DataFrame(
        {
            "date": [START + timedelta(days=i) for i in range(len(returns))],
            "net_return": returns,
            "benchmark_return": benchmark,
            "trades": [2] * len(returns),
            "observed": [1.0] * len(returns),
        },
        schema=table("trials").schema,
    )


def positions(net_returns, cost: float = 0.0005) -> pl.DataFrame:
    """Closed positions of 1 at 100, whose fees and slippage together are `cost` of the entry."""
    t0 = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [
        {
            "decision_ts": t0 + timedelta(hours=i),
            "entry_ts": t0 + timedelta(hours=i, seconds=1),
            "entry_price": 100.0,
            "exit_ts": t0 + timedelta(hours=i, minutes=30),
            "exit_price": 100.0 * (1 + value + cost),
            "qty": 1.0,
            "exit_reason": "time",
            "probability": 0.6,
            "fees": cost * 80,
            "slippage": cost * 20,
            "net_pnl": value * 100,
            "net_return": value,
        }
        for i, value in enumerate(net_returns)
    ]
    return pl.DataFrame(rows, schema=table("backtest_trades").schema)


def evidence(returns, benchmark=None, *, trades=None, others=0, checks=GOOD_BUNDLE) -> Evidence:
    daily = days(returns, benchmark)
    rng = np.random.default_rng(99)
    trials = {("mine", "aaaa"): daily}
    for i in range(others):
        trials["other", f"{i:04d}"] = days(rng.normal(0, 0.01, daily.height))
    trades = positions([0.002] * 60) if trades is None else trades
    return Evidence(daily, trades, NO_HALT, trials, checks)


def rule(decision: Decision, name: str):
    return next(r for r in decision.rules if r.name == name)


def failed(decision: Decision) -> set[str]:
    return {r.name for r in decision.failed}


def market(seed: int, count: int, drift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(drift, 0.02, count)


def edge(seed: int, count: int, yearly_sharpe: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, count)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    return 0.01 * (noise + yearly_sharpe / math.sqrt(365))


def test_a_strong_edge_is_promoted():
    decision = judge(evidence(edge(1, 60, 8), market(2, 60)), PROFILE)
    assert decision.promoted, decision.summary
    assert decision.summary == "Promoted: all 10 rules hold."
    assert rule(decision, "psr_flat").value > 0.99


def test_luck_is_refused_and_the_reason_names_the_numbers():
    decision = judge(evidence(edge(1, 60, 1.5), market(2, 60)), PROFILE)
    assert decision.decision == "refused"
    assert failed(decision) == {"min_track_record", "psr_flat", "psr_buy_and_hold"}
    assert "95.0 % is asked for (Sharpe ratio 1.50 a year)" in rule(decision, "psr_flat").reason
    assert "60 were observed" in rule(decision, "min_track_record").reason


def test_exposure_to_a_rising_market_is_not_an_edge():
    rising = market(3, 90, drift=0.008)
    held = 0.8 * rising + np.random.default_rng(4).normal(0, 0.002, 90)
    decision = judge(evidence(held, rising), PROFILE)
    assert rule(decision, "psr_flat").verdict == "pass"
    assert failed(decision) == {"psr_buy_and_hold"}
    assert "beta 0.79" in rule(decision, "psr_buy_and_hold").reason


def test_staying_in_cash_while_the_market_falls_is_not_an_edge():
    """The raw difference to a falling benchmark has a great Sharpe ratio; the residual has none."""
    falling = market(3, 90, drift=-0.008)
    barely = np.random.default_rng(6).normal(0, 0.0005, 90)
    barely -= barely.mean()
    raw = barely - falling
    assert raw.mean() / raw.std() * math.sqrt(90) > 3
    decision = judge(evidence(barely, falling), PROFILE)
    assert rule(decision, "psr_buy_and_hold").verdict == "fail"


def test_the_same_record_is_refused_when_it_is_the_best_of_many():
    alone = judge(evidence(edge(1, 60, 6), market(2, 60)), PROFILE)
    crowd = judge(evidence(edge(1, 60, 6), market(2, 60), others=99), PROFILE)
    assert alone.promoted
    assert {"psr_flat", "min_track_record"} <= failed(crowd)
    assert crowd.trials == 100
    assert "best of 100 strategies" in rule(crowd, "psr_flat").reason


def test_trials_of_the_profile_count_when_fewer_are_logged():
    profile = GateProfile(min_trials=100)
    decision = judge(evidence(edge(1, 60, 6), market(2, 60)), profile)
    assert decision.trials == 100
    assert "psr_flat" in failed(decision)


def test_few_trades_are_refused():
    decision = judge(
        evidence(edge(1, 60, 8), market(2, 60), trades=positions([0.01] * 12)), PROFILE
    )
    assert failed(decision) == {"min_trades"}
    reason = rule(decision, "min_trades").reason
    assert reason == "12 closed positions; at least 30 are asked for."


def test_a_short_record_is_refused():
    decision = judge(evidence(edge(1, 20, 30), market(2, 20)), PROFILE)
    assert failed(decision) == {"min_days"}


def test_a_profit_that_doubled_costs_would_eat_is_refused():
    trades = positions([0.0004] * 60, cost=0.0005)
    decision = judge(evidence(edge(1, 60, 8), market(2, 60), trades=trades), PROFILE)
    assert failed(decision) == {"cost_stress"}
    stressed = rule(decision, "cost_stress")
    assert stressed.value == pytest.approx(-1.0)
    assert "brings -1.0 bp on average (4.0 bp as simulated)" in stressed.reason


def test_a_deep_loss_is_refused_even_when_it_recovers():
    returns = edge(1, 80, 14)
    returns[40:52] = -0.04
    decision = judge(evidence(returns, market(2, 80)), PROFILE)
    assert rule(decision, "max_drawdown").verdict == "fail"
    assert rule(decision, "max_drawdown").value == pytest.approx(1 - 0.96**12)


def test_a_loss_within_the_day_counts_where_equity_is_marked():
    base = evidence(edge(1, 60, 8), market(2, 60))
    marks = pl.DataFrame({"equity": [100.0, 120.0, 60.0, 125.0]})
    decision = judge(dataclasses.replace(base, equity=marks), PROFILE)
    assert failed(decision) == {"max_drawdown"}
    assert rule(decision, "max_drawdown").value == pytest.approx(0.5)


def test_a_loss_before_the_first_mark_counts_from_what_the_path_began_with():
    """100 becomes 60 within the first hour and 95 by the end of the day."""
    returns = edge(1, 60, 8)
    returns[0] = -0.05
    base = evidence(returns, market(2, 60))
    marks = pl.DataFrame({"equity": [60.0, *(100 * np.cumprod(1 + returns))]})
    decision = judge(dataclasses.replace(base, equity=marks), PROFILE)
    assert failed(decision) == {"max_drawdown"}
    assert rule(decision, "max_drawdown").value == pytest.approx(0.4)


def test_a_path_that_only_follows_the_market_is_refused_and_the_reason_says_why():
    """Its hedged returns are rounding errors, which have a Sharpe ratio like any others."""
    rising = market(3, 90, drift=0.008)
    decision = judge(evidence(0.0003 + 0.3 * rising, rising), PROFILE)
    assert rule(decision, "psr_buy_and_hold").verdict == "fail"
    assert "it never varies" in rule(decision, "psr_buy_and_hold").reason


def test_a_reason_does_not_call_too_short_what_never_varies_nor_the_other_way_round():
    short = judge(evidence([0.01, -0.02], [0.01, 0.03]), PROFILE)
    assert "2 days are too few" in rule(short, "psr_buy_and_hold").reason
    still = judge(evidence([0.0] * 60, market(2, 60)), PROFILE)
    assert "it never varies" in rule(still, "psr_buy_and_hold").reason


def test_many_small_gains_that_hide_great_losses_need_a_longer_record():
    """One loss of ten gains' size every nine days: same Sharpe ratio, other shape."""
    seller = np.tile([0.01] * 8 + [-0.055], 7)
    normal = edge(1, 63, seller.mean() / seller.std(ddof=1) * math.sqrt(365))
    asked = [
        rule(judge(evidence(x, market(2, 63)), PROFILE), "min_track_record").bound
        for x in (seller, normal)
    ]
    assert asked[0] > 1.2 * asked[1]


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ({"hashes": True, "golden_rows": False}, "The bundle fails golden_rows."),
        ({}, "there is none"),
    ],
)
def test_a_bundle_that_does_not_reproduce_is_refused(checks, words):
    decision = judge(evidence(edge(1, 60, 8), market(2, 60), checks=checks), PROFILE)
    assert failed(decision) == {"bundle_integrity"}
    assert words in rule(decision, "bundle_integrity").reason


def test_a_path_on_which_the_engine_halted_is_refused_and_the_reason_says_when_and_why():
    """However well the days before did: those after it are zeros that nobody traded."""
    rows = [
        (datetime(2024, 2, 20, tzinfo=UTC), "pause"),
        (datetime(2024, 2, 9, 7, 31, 12, tzinfo=UTC), "kill switch: daily loss"),
    ]
    halts = pl.DataFrame(rows, schema=table("backtest_halts").schema, orient="row")
    good = evidence(edge(1, 60, 8), market(2, 60))
    decision = judge(dataclasses.replace(good, halts=halts), PROFILE)
    assert failed(decision) == {"never_halted"}
    one = rule(decision, "never_halted")
    assert (one.value, one.comparison, one.bound) == (2.0, "<=", 0.0)
    assert "halted on 2024-02-09 at 07:31 UTC (kill switch: daily loss)" in one.reason
    assert rule(judge(good, PROFILE), "never_halted").verdict == "pass"


def test_weeks_left_out_are_refused():
    full = evidence(edge(1, 90, 8), market(2, 90))
    holes = full.daily.filter(
        (pl.col("date") < date(2024, 2, 1)) | (pl.col("date") > date(2024, 2, 14))
    )
    decision = judge(dataclasses.replace(full, daily=holes), PROFILE)
    assert failed(decision) == {"complete_days"}
    assert rule(decision, "complete_days").value == pytest.approx(76 / 90)


def outage(shown: Evidence, *dates: date) -> Evidence:
    """The same with days of which a tenth was seen, and on which nothing moved."""
    unseen = pl.col("date").is_in(list(dates))
    daily = shown.daily.with_columns(
        net_return=pl.when(unseen).then(0.0).otherwise("net_return"),
        benchmark_return=pl.when(unseen).then(0.0).otherwise("benchmark_return"),
        observed=pl.when(unseen).then(0.1).otherwise("observed"),
    )
    return dataclasses.replace(shown, daily=daily)


def test_days_that_were_hardly_seen_are_missing_and_no_part_of_the_record():
    full = evidence(edge(1, 90, 8), market(2, 90))
    gone = [date(2024, 2, 1) + timedelta(days=i) for i in range(14)]
    dark = judge(outage(full, *gone), PROFILE)
    assert failed(dark) == {"complete_days"}
    assert rule(dark, "complete_days").value == pytest.approx(76 / 90)
    assert "Of 14 days less than 50 % of the bars are valid" in rule(dark, "complete_days").reason
    # What is not seen is judged as what is not there.
    left_out = dataclasses.replace(full, daily=full.daily.filter(~pl.col("date").is_in(gone)))
    without = judge(left_out, PROFILE)
    for one, other in zip(dark.rules[1:], without.rules[1:], strict=True):
        assert (one.name, one.value, one.bound) == (other.name, other.value, other.bound)
    assert rule(dark, "min_days").value == 76


def test_days_that_were_hardly_seen_make_no_record_long_enough():
    full = evidence(edge(1, 29, 40), market(2, 29))
    assert judge(full, PROFILE).promoted
    gone = [date(2024, 1, 9), date(2024, 1, 10)]
    assert failed(judge(outage(full, *gone), PROFILE)) == {"complete_days", "min_days"}


def test_a_loss_in_an_outage_is_not_left_out_with_it():
    full = outage(evidence(edge(1, 90, 8), market(2, 90)), date(2024, 2, 1))
    lost = pl.when(pl.col("date") == date(2024, 2, 1)).then(-0.3).otherwise("net_return")
    decision = judge(
        dataclasses.replace(full, daily=full.daily.with_columns(net_return=lost)), PROFILE
    )
    assert judge(full, PROFILE).promoted
    assert {"psr_flat", "min_track_record"} <= failed(decision)


def test_trials_of_which_nobody_wrote_down_how_much_was_seen_count_as_before():
    shown = evidence(edge(1, 60, 8), market(2, 60), others=4)
    unknown = {key: f.with_columns(observed=None) for key, f in shown.trial_returns.items()}
    before = judge(dataclasses.replace(shown, trial_returns=unknown), PROFILE)
    assert before == judge(shown, PROFILE)


def test_a_day_counted_twice_is_refused():
    full = evidence(edge(1, 60, 8), market(2, 60))
    twice = pl.concat([full.daily, full.daily.tail(3)])
    decision = judge(dataclasses.replace(full, daily=twice), PROFILE)
    assert "complete_days" in failed(decision)
    assert "3 days appear more than once" in rule(decision, "complete_days").reason


@pytest.mark.parametrize(
    ("returns", "benchmark", "trades"),
    [
        ([], [], []),
        ([0.01], [0.0], [0.01]),
        ([0.0] * 60, [0.0] * 60, []),
        ([0.001] * 60, [0.001] * 60, [0.001] * 40),
        ([0.01] * 59 + [math.nan], [0.0] * 60, [0.01] * 40),
        ([0.01, -0.02] * 30, [0.0] * 59 + [math.nan], [0.01] * 40),
        ([0.01, -0.02] * 30, [0.01, math.inf] * 30, [math.nan] * 40),
        ([-1.0, 0.5] * 30, [0.0] * 60, [0.01] * 40),
        ([math.inf, 0.5] * 30, [0.0] * 60, [0.01] * 40),
    ],
)
def test_evidence_that_can_not_be_measured_is_refused_with_reasons(returns, benchmark, trades):
    decision = judge(evidence(returns, benchmark, trades=positions(trades)), PROFILE)
    assert decision.decision == "refused"
    for one in decision.rules:
        assert one.reason.endswith((".", ")."))
        assert "nan" not in one.reason
        assert "inf" not in one.reason.lower().replace("information", "")
    frame = decision_frame(
        decision, profile_name="standard", configuration="c", bundle="b", enters_service=True
    )
    validate(table("promotions"), frame, where="promotions")


def test_nulls_in_the_evidence_are_refused():
    base = evidence(edge(1, 60, 8), market(2, 60))
    holed = base.daily.with_columns(
        pl.when(pl.col("date") == date(2024, 1, 5))
        .then(None)
        .otherwise(pl.col("net_return"))
        .alias("net_return")
    )
    decision = judge(dataclasses.replace(base, daily=holed), PROFILE)
    assert {"psr_flat", "psr_buy_and_hold", "min_track_record", "max_drawdown"} <= failed(decision)


def test_order_of_the_days_does_not_matter():
    base = evidence(edge(1, 60, 8), market(2, 60))
    shuffled = base.daily.sample(fraction=1, shuffle=True, seed=1)
    assert (
        judge(dataclasses.replace(base, daily=shuffled), PROFILE).rules
        == judge(base, PROFILE).rules
    )


# --- properties --------------------------------------------------------------------------------

returns_strategy = st.lists(st.floats(-0.08, 0.12), min_size=28, max_size=70)


@settings(max_examples=30, deadline=None)
@given(returns=returns_strategy, others=st.integers(0, 20), more=st.integers(1, 20))
def test_more_trials_never_make_the_verdict_kinder(returns, others, more):
    few = judge(evidence(returns, others=others), PROFILE)
    many = judge(evidence(returns, others=others + more), PROFILE)
    for name in ("psr_flat", "psr_buy_and_hold"):
        a, b = rule(few, name).value, rule(many, name).value
        assert math.isnan(a) == math.isnan(b)
        assert math.isnan(a) or b <= a + 1e-12
    assert few.promoted or not many.promoted


@settings(max_examples=150, deadline=None)
@given(
    returns=returns_strategy,
    lift=st.floats(0.0, 0.03),
    loss=st.floats(1e-6, 0.05),
    trade=st.floats(-0.01, 0.02),
)
def test_worse_returns_never_turn_refused_into_promoted(returns, lift, loss, trade):
    """A constant loss a day and a trade can only hurt, whatever the shape of the record."""
    benchmark = market(2, len(returns))
    better = np.asarray(returns) + lift
    assume(np.ptp(better) > 1e-6)
    good = judge(evidence(better, benchmark, trades=positions([trade] * 40)), PROFILE)
    bad = judge(evidence(better - loss, benchmark, trades=positions([trade - loss] * 40)), PROFILE)
    assert failed(good) <= failed(bad)
    for name in ("psr_flat", "psr_buy_and_hold", "cost_stress"):
        assert rule(bad, name).value <= rule(good, name).value + 1e-9


@settings(max_examples=60, deadline=None)
@given(returns=returns_strategy, fewer=st.integers(0, 59), cost=st.floats(0, 0.01))
def test_fewer_trades_or_dearer_ones_never_help(returns, fewer, cost):
    good = judge(evidence(returns, trades=positions([0.001] * 60, 0.0)), PROFILE)
    bad = judge(evidence(returns, trades=positions([0.001] * fewer, cost)), PROFILE)
    assert failed(good) <= failed(bad)


@settings(max_examples=60, deadline=None)
@given(
    returns=returns_strategy,
    confidence=st.floats(0.951, 0.999),
    min_days=st.integers(28, 80),
    min_trades=st.integers(30, 80),
    drawdown=st.floats(0.01, 0.35),
    stress=st.floats(2.0, 9.0),
)
def test_a_stricter_profile_never_promotes_what_a_milder_one_refused(
    returns, confidence, min_days, min_trades, drawdown, stress
):
    strict = GateProfile(
        confidence=confidence,
        min_days=min_days,
        min_trades=min_trades,
        max_drawdown=drawdown,
        cost_stress=stress,
    )
    shown = evidence(returns, market(2, len(returns)))
    assert failed(judge(shown, PROFILE)) <= failed(judge(shown, strict))


@settings(max_examples=40, deadline=None)
@given(returns=returns_strategy, scale=st.floats(0.1, 0.9))
def test_the_size_of_the_stake_does_not_change_how_sure_the_edge_is(returns, scale):
    assume(np.ptp(returns) > 1e-6)
    benchmark = market(2, len(returns))
    whole = judge(evidence(returns, benchmark), PROFILE)
    part = judge(evidence(np.asarray(returns) * scale, benchmark), PROFILE)
    for name in ("psr_flat", "psr_buy_and_hold"):
        assert rule(part, name).value == pytest.approx(rule(whole, name).value, abs=1e-6)


def test_worthless_strategies_are_promoted_about_as_rarely_as_promised():
    """Through `judge` whole, where all that can stop them is the statistics."""
    profile = GateProfile(min_trades=1)
    rng = np.random.default_rng(31)
    promoted = [
        judge(evidence(rng.normal(0, 0.01, 60), rng.normal(0, 0.02, 60)), profile).promoted
        for _ in range(600)
    ]
    assert 0.005 < np.mean(promoted) < 0.06


# --- what is reported and recorded -------------------------------------------------------------


def test_reported_figures_have_no_say_and_are_complete():
    decision = judge(evidence(edge(1, 60, 8), market(2, 60), others=4), PROFILE)
    reported = {f.name: f.value for f in decision.reported}
    assert reported["sharpe"] == pytest.approx(8.0)
    assert reported["sharpe_low"] < 8.0 < reported["sharpe_high"]
    assert reported["trials"] == 5
    assert 3 < reported["effective_trials"] <= 5
    assert 0 < reported["deflated_sharpe"] < 1
    assert all(math.isfinite(value) for value in reported.values())


def test_trials_that_are_copies_count_as_one_independent_trial():
    returns = edge(1, 60, 8)
    shown = evidence(returns, market(2, 60))
    copies = {("mine", str(i)): shown.daily for i in range(6)}
    decision = judge(dataclasses.replace(shown, trial_returns=copies), PROFILE)
    effective = next(f.value for f in decision.reported if f.name == "effective_trials")
    assert effective == pytest.approx(1.0)
    assert decision.trials == 6


def test_promotable_sharpe_is_what_would_just_have_passed():
    base = judge(evidence(edge(1, 60, 3), market(2, 60), others=3), PROFILE)
    needed = next(f.value for f in base.reported if f.name == "promotable_sharpe")
    above = judge(evidence(edge(1, 60, needed * 1.02), market(2, 60), others=3), PROFILE)
    below = judge(evidence(edge(1, 60, needed * 0.98), market(2, 60), others=3), PROFILE)
    assert rule(above, "psr_flat").verdict == "pass"
    assert rule(below, "psr_flat").verdict == "fail"


def test_profile_hash_names_the_rules_and_every_bound(monkeypatch):
    named = profile_hash(PROFILE)
    assert named == profile_hash(GateProfile())
    monkeypatch.setattr(profile, "RULES_VERSION", "another")
    assert profile_hash(PROFILE) != named
    for name in GateProfile.model_fields:
        value = getattr(PROFILE, name)
        other = value + 1 if isinstance(value, int) or value >= 1 else value * 0.99
        assert profile_hash(GateProfile(**{name: other})) != profile_hash(PROFILE)


def test_decision_frame_fits_the_lake_and_says_what_the_decision_says():
    decision = judge(evidence(edge(1, 60, 1), market(2, 60)), PROFILE)
    frame = decision_frame(
        decision, profile_name="standard", configuration="c0", bundle="b0", enters_service=True
    )
    validate(table("promotions"), frame, where="promotions")
    assert frame["rule"].to_list() == [r.name for r in decision.rules]
    assert frame["verdict"].to_list() == [r.verdict for r in decision.rules]
    assert frame["decision"].unique().to_list() == ["refused"]
    assert frame["profile_hash"].unique().to_list() == [profile_hash(PROFILE)]


def test_gate_report_is_plain_json_even_when_nothing_could_be_measured():
    from vostok_core.hashing import canonical_json

    for shown in (evidence([], []), evidence(edge(1, 60, 8), market(2, 60))):
        decision = judge(shown, PROFILE)
        document = gate_report(
            decision, profile_name="standard", configuration="c0", bundle="b", evidence={"e": "f"}
        )
        canonical_json(document)  # raises on NaN and on infinity
        assert document["decision"] == decision.decision
        assert document["profile"]["bounds"]["min_days"] == PROFILE.min_days
        assert [r["reason"] for r in document["rules"]] == [r.reason for r in decision.rules]
