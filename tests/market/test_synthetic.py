"""The synthetic market: reproducible, continuable, a martingale unless an edge is planted."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.market.synthetic import (
    MarketSpan,
    MarketSpec,
    MarketState,
    _seeded,
    _uniform,
    advance,
)
from vostok_core.times import DAY, MINUTE

START = 20_094 * DAY  # 2025-01-06, a Monday
WORD = 2**64


def run(spec: MarketSpec, seed: int, minutes: int) -> MarketSpan:
    return advance(spec, MarketState.start(spec, seed, START), minutes)[0]


def splitmix(seed: int) -> list[int]:
    words = []
    for _ in range(4):
        seed = (seed + 0x9E3779B97F4A7C15) % WORD
        x = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) % WORD
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % WORD
        words.append(x ^ (x >> 31))
    return words


def xoshiro(s: list[int]) -> int:
    """xoshiro256++ in Python's own integers, from the authors' reference in C."""
    total = (s[0] + s[3]) % WORD
    result = ((((total << 23) | (total >> 41)) % WORD) + s[0]) % WORD
    t = (s[1] << 17) % WORD
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = ((s[3] << 45) | (s[3] >> 19)) % WORD
    return result


@given(seed=st.integers(0, WORD - 1))
@settings(max_examples=50, deadline=None)
def test_generator_matches_the_reference_in_plain_integers(seed: int) -> None:
    state = _seeded(np.uint64(seed))
    reference = splitmix(seed)
    assert [int(x) for x in state] == reference
    for _ in range(20):
        assert _uniform(state) == ((xoshiro(reference) >> 11) + 0.5) * 2.0**-53


@given(first=st.integers(1, 300), second=st.integers(1, 300), seed=st.integers(0, 2**40))
@settings(max_examples=15, deadline=None)
def test_a_market_that_pauses_shows_no_seam(first: int, second: int, seed: int) -> None:
    spec = MarketSpec(edge=0.1, news_edge=0.1, news_per_day=200)
    begun = MarketState.start(spec, seed, START)
    whole, end = advance(spec, begun, first + second)
    one, middle = advance(spec, begun, first)
    two, end_of_two = advance(spec, middle, second)
    assert pl.concat([one.ticks, two.ticks]).equals(whole.ticks)
    assert pl.concat([one.news, two.news]).equals(whole.news)
    assert pl.concat([one.truth, two.truth]).equals(whole.truth)
    assert np.array_equal(end.values, end_of_two.values)
    assert np.array_equal(end.generator, end_of_two.generator)


def test_seeds_make_different_markets_and_repeat_themselves() -> None:
    spec = MarketSpec()
    assert run(spec, 1, 60).ticks.equals(run(spec, 1, 60).ticks)
    assert not run(spec, 1, 60).ticks.equals(run(spec, 2, 60).ticks)


def test_prints_obey_the_exchanges_rules() -> None:
    spec = MarketSpec(start_price=1_234.5, price_tick=0.05, quantity_step=0.001)
    ticks = run(spec, 7, 2 * 1440).ticks
    ids = ticks["trade_id"].to_numpy()
    assert np.array_equal(ids, np.arange(1, len(ids) + 1))
    assert ticks["ts"].is_sorted()
    for column, step in (("price", spec.price_tick), ("qty", spec.quantity_step)):
        steps = ticks[column].to_numpy() / step
        assert np.abs(steps - np.round(steps)).max() < 1e-6
        assert ticks[column].min() >= step * 0.999
        shortest = ticks[column].head(2000).cast(pl.String).str.len_chars().max()
        assert shortest <= 10, "prices and quantities are not the doubles of short decimals"


def minutes_of(span: MarketSpan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log return of the mid, standardised by the truth, flow imbalance and signal, per minute."""
    flow = span.ticks.group_by((pl.col("ts").dt.truncate("1m")).alias("ts")).agg(
        flow=(pl.col("qty") * (1 - 2 * pl.col("buyer_maker").cast(pl.Int8))).sum()
        / pl.col("qty").sum()
    )
    truth = span.truth.join(flow, on="ts", how="left").fill_null(0.0)
    returns = np.diff(np.log(truth["mid"].to_numpy())) / truth["sigma"].to_numpy()[1:]
    return returns, truth["flow"].to_numpy(), truth["signal"].to_numpy()


def z_of(products: np.ndarray) -> float:
    return float(products.mean() / products.std() * math.sqrt(len(products)))


@pytest.mark.parametrize("seed", range(3))
def test_nothing_known_predicts_a_martingale(seed: int) -> None:
    returns, flow, _ = minutes_of(run(MarketSpec(), 100 + seed, 40 * 1440))
    known = {
        "the last return": returns[:-1],
        "flow": flow[1:-1],
        "flow over 30 minutes": np.convolve(flow, np.ones(30), "valid")[: len(returns) - 30],
    }
    for name, x in known.items():
        after = returns[len(returns) - len(x) :]
        assert abs(z_of((x - x.mean()) * after)) < 4, f"{name} predicts the next return"
    assert abs(z_of(returns)) < 4


def test_the_price_is_a_martingale_with_moments_however_wild_the_market() -> None:
    # So wild that a fat tail in an exponent, whose mean is infinite, shows.
    spec = MarketSpec(annual_volatility=math.sqrt(525_600.0), start_price=1e12)
    steps = []
    for seed in range(300):
        truth = run(spec, seed, 200).truth
        mid = np.concatenate([[spec.start_price], truth["mid"].to_numpy()])
        steps.append((mid[1:] / mid[:-1] - 1.0) / truth["sigma"].to_numpy())
    step = np.concatenate(steps)
    assert 0.9 < step.std() < 1.1
    assert abs(z_of(step)) < 4


def test_flow_moves_the_price_at_once_and_persists() -> None:
    returns, flow, _ = minutes_of(run(MarketSpec(), 5, 20 * 1440))
    assert np.corrcoef(flow[1:], returns)[0, 1] > 0.1
    assert np.corrcoef(flow[1:], flow[:-1])[0, 1] > 0.4


@pytest.mark.parametrize("edge", [0.1, 0.3])
def test_a_planted_edge_has_the_stated_slope(edge: float) -> None:
    returns, _, signal = minutes_of(run(MarketSpec(edge=edge), 11, 60 * 1440))
    unit = signal[1:] / edge
    slope = float((unit * returns).sum() / (unit**2).sum())
    error = 1.0 / math.sqrt((unit**2).sum())
    assert abs(slope - edge) < 4 * error
    assert abs(np.mean(unit**2) - 1.0) < 0.25, "the signal should have unit variance"


def test_planted_news_leads_the_price_and_null_news_does_not() -> None:
    for news_edge, means_something in ((0.3, True), (0.0, False)):
        span = run(MarketSpec(news_edge=news_edge, news_per_day=40), 3, 60 * 1440)
        mid = np.log(span.truth["mid"].to_numpy())
        at = ((span.news["ts"].to_physical().to_numpy() - START) // MINUTE).astype(int)
        keep = at < len(mid) - 60
        later = (mid[at[keep] + 60] - mid[at[keep]]) * span.news["tone"].to_numpy()[keep]
        assert (z_of(later) > 6) == means_something


def test_volatility_is_as_asked_and_clusters() -> None:
    truth = run(MarketSpec(annual_volatility=0.6), 9, 60 * 1440).truth
    returns = np.diff(np.log(truth["mid"].to_numpy()))
    annual = returns.std() * math.sqrt(525_600)
    assert 0.4 < annual < 1.0
    size = np.abs(returns)
    assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.1
