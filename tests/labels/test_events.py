from __future__ import annotations

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vostok_core.errors import MissingPartition, UnknownName
from vostok_core.labels.events import EventStream, event_anchor, event_flags, flag_events
from vostok_core.times import MINUTE

STEP = 5 * MINUTE


def bars(closes, sigmas, valid=None, ts=None) -> pl.DataFrame:
    n = len(closes)
    times = np.arange(1, n + 1) * STEP if ts is None else np.array(ts)
    return pl.DataFrame(
        {
            "ts": pl.Series(times, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
            "close": np.array(closes, dtype=float),
            "sigma_bar": np.array(sigmas, dtype=float),
            "valid": [True] * n if valid is None else list(valid),
        }
    )


def slow_cusum(frame: pl.DataFrame, k: float) -> list[bool]:
    """Snippet 2.4 of AFML with a moving threshold, on lists."""
    flags, previous, previous_ts, up, down = [], None, None, 0.0, 0.0
    rows = zip(
        frame["ts"].to_physical(), frame["close"], frame["sigma_bar"], frame["valid"], strict=True
    )
    for ts, close, sigma, valid in rows:
        flag = False
        if not valid or not sigma > 0:
            previous = None
        else:
            if previous is None or ts - previous_ts != STEP:
                up = down = 0.0
            else:
                y = math.log(close / previous)
                up, down = max(0.0, up + y), min(0.0, down + y)
                if down < -k * sigma:
                    flag, down = True, 0.0
                elif up > k * sigma:
                    flag, up = True, 0.0
            previous, previous_ts = close, ts
        flags.append(flag)
    return flags


@given(data=st.data())
def test_cusum_equals_its_slow_twin(data, strategy_of) -> None:
    n = data.draw(st.integers(1, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    sigmas = rng.choice([0.001, 0.002, 0.0, np.nan], n, p=[0.5, 0.4, 0.05, 0.05])
    times = np.cumsum(rng.choice([STEP, 3 * STEP], n, p=[0.95, 0.05]))
    frame = bars(
        100 * np.exp(np.cumsum(rng.normal(0, 0.002, n))), sigmas, rng.random(n) > 0.05, times
    )
    assert flag_events(strategy_of(), frame)["event"].to_list() == slow_cusum(frame, 1.5)


def test_a_move_of_more_than_the_threshold_is_an_event_and_the_sum_starts_again(
    strategy_of,
) -> None:
    frame = bars([100, 101, 102, 102.1, 103.5], [0.01] * 5)
    found = flag_events(strategy_of(), frame)["event"].to_list()
    # log(102/100) = 0.0198 > 0.015 at the third bar; then log(103.5/102) = 0.0146 is not enough
    assert found == [False, False, True, False, False]


def test_when_both_sums_have_passed_the_threshold_the_lower_fires_first(strategy_of) -> None:
    # Up 2 %, then down 1 % with a high threshold; then it drops to where both sums exceed it.
    frame = bars([100, 102, 101, 101, 101], [0.1, 0.1, 0.1, 0.001, 0.001])
    assert flag_events(strategy_of(), frame)["event"].to_list() == [False, False, False, True, True]


def test_every_bar_needs_a_valid_bar_and_a_volatility(strategy_of) -> None:
    frame = bars([1, 1, 1, 1], [0.1, math.nan, 0.0, 0.1], [True, True, True, False])
    found = flag_events(strategy_of(events={"kind": "every_bar"}), frame)["event"].to_list()
    assert found == [True, False, False, False]


@pytest.mark.parametrize("kind", ["cusum", "every_bar"])
def test_a_stream_flags_what_the_batch_flags(kind: str, strategy_of) -> None:
    rng = np.random.default_rng(3)
    frame = bars(
        100 * np.exp(np.cumsum(rng.normal(0, 0.002, 500))),
        np.where(rng.random(500) < 0.05, np.nan, 0.001),
        rng.random(500) > 0.03,
    )
    strategy = strategy_of(events={"kind": kind, "threshold": 2.0})
    stream = EventStream(strategy)
    live = [
        stream.update(ts, close, sigma, valid=valid)
        for ts, close, sigma, valid in zip(
            frame["ts"].to_physical(),
            frame["close"],
            frame["sigma_bar"],
            frame["valid"],
            strict=True,
        )
    ]
    batch = flag_events(strategy, frame)["event"].to_list()
    assert live == batch
    assert any(batch)
    assert not all(batch)


@given(cut=st.integers(1, 299))
def test_no_flag_depends_on_later_bars(cut: int, strategy_of) -> None:
    rng = np.random.default_rng(5)
    frame = bars(100 * np.exp(np.cumsum(rng.normal(0, 0.002, 300))), [0.001] * 300)
    shocked = pl.concat(
        [frame[:cut], frame[cut:].with_columns(pl.col("close") * 3, pl.col("sigma_bar") * 2)]
    )
    whole = flag_events(strategy_of(), frame)["event"][:cut].to_list()
    assert flag_events(strategy_of(), shocked)["event"][:cut].to_list() == whole
    assert flag_events(strategy_of(), frame[:cut])["event"].to_list() == whole


def test_a_day_has_the_same_flags_in_any_company(world, strategy_of) -> None:
    world.write()
    strategy = strategy_of()
    together = event_flags(world.lake, strategy, world.name, world.days)
    alone = pl.concat(
        [event_flags(world.lake, strategy, world.name, [d]) for d in reversed(world.days)]
    )
    assert alone.sort("ts").equals(together)
    assert together["ts"].to_list() == pl.concat(list(world.bars.values()))["ts"].to_list()
    assert together["event"].sum() > 50


def test_the_walk_over_a_month_begins_a_day_before_it_and_no_earlier(world, strategy_of) -> None:
    world.write()
    strategy = strategy_of()
    february = [d for d in world.days if d.month == 2]
    before = event_flags(world.lake, strategy, world.name, february)
    assert event_anchor(february[0]) == date(2024, 1, 31)
    world.bars[date(2024, 1, 30)] = world.bars[date(2024, 1, 30)].with_columns(
        pl.col("open", "high", "low", "close") * 2
    )
    world.write("bars", days=[date(2024, 1, 30)])
    world.write("features")
    assert event_flags(world.lake, strategy, world.name, february).equals(before)
    # A calm last day of January, so that the first move of February falls on empty sums.
    first = world.bars[february[0]]["close"][0]
    world.bars[date(2024, 1, 31)] = world.bars[date(2024, 1, 31)].with_columns(
        pl.lit(first * (0.9 if not before["event"][0] else 1.0)).alias(name)
        for name in ("open", "high", "low", "close")
    )
    world.write("bars", days=[date(2024, 1, 31)])
    world.write("features")
    after = event_flags(world.lake, strategy, world.name, february)
    assert after["event"][0] != before["event"][0]


def test_a_day_without_features_is_named(world, strategy_of) -> None:
    world.write()
    world.lake.partition(
        "features", pack="core", instrument=world.name, interval="5m", date=world.days[1]
    )
    for file in world.lake.partition(
        "features", pack="core", instrument=world.name, interval="5m", date=world.days[1]
    ).iterdir():
        file.unlink()
    with pytest.raises(MissingPartition, match="2024-01-30"):
        event_flags(world.lake, strategy_of(), world.name, [world.days[2]])


def test_an_unknown_volatility_is_named_with_its_neighbours(world, strategy_of) -> None:
    world.write()
    strategy = strategy_of(labels={"volatility": "volatility_61"})
    with pytest.raises(UnknownName, match="volatility_6"):
        event_flags(world.lake, strategy, world.name, [world.days[0]])
