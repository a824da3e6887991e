from __future__ import annotations

import math
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import NotYetKnowable, StalePartition
from vostok_core.labels.barriers import barrier_ticks
from vostok_core.labels.currency import LabelCurrency
from vostok_core.labels.days import label_day, label_days
from vostok_core.labels.triple_barrier import (
    label_events,
    last_day_needed,
    net_return,
    undisturbed,
)
from vostok_core.labels.version import label_version
from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import table
from vostok_core.market.paths import bar_path, tick_path
from vostok_core.strategy import CostRule
from vostok_core.times import HOUR, MINUTE

TIME = pl.Datetime("us", "UTC")
COSTS = {
    "taker_fee_bps": 10.0,
    "maker_fee_bps": 4.0,
    "slippage_bps": 2.0,
    "latency": "200ms",
}
SIGMA = 0.0008


def slow_label(ts: int, close: float, ticks: list[tuple[int, float, bool]]) -> dict | None:
    """One label by walking a list of prints, each rule written out once.

    None when the prints end too early; empty when the entry expires.
    """
    arrive, deadline = ts + 200_000, ts + HOUR + 200_000
    sigma = SIGMA * math.sqrt(12)
    upper, lower = (
        float(t * Decimal("0.01")) for t in barrier_ticks(close, sigma, 1.5, 1.5, Decimal("0.01"))
    )
    entry = next((i for i, (t, _, maker) in enumerate(ticks) if t > arrive and not maker), None)
    if entry is None:
        return {} if ticks[-1][0] >= ts + HOUR else None
    ticks_paid = round(ticks[entry][1] * 100)
    ticks_paid += math.ceil(ticks_paid * Fraction(2, 10_000))
    cap = min(math.floor(round(close * 100) * Fraction(1005, 1000)), round(upper * 100) - 1)
    if ticks[entry][0] >= ts + HOUR or ticks_paid > cap:
        return {}

    def sold(first: int, after: int) -> int | None:
        for j in range(first, len(ticks)):
            if ticks[j][2] and ticks[j][0] > after:
                return j
        return None

    touch, end, price = None, None, None
    for i in range(entry + 1, len(ticks)):
        t, p, _ = ticks[i]
        if t >= deadline:
            touch, end = "time", sold(entry + 1, deadline)
            break
        if p <= lower:
            touch, end = "stop_loss", sold(i + 1, -1)
            break
        if p > upper:
            touch, end, price = "take_profit", i, upper
            break
    if end is None:
        return None
    price = ticks[end][1] if price is None else price
    paid = ticks[entry][1] * 1.0002 * 1.001
    got = price * 0.9996 if touch == "take_profit" else price * 0.9998 * 0.999
    return {
        "entry": (ticks[entry][0], ticks[entry][1]),
        "exit": (ticks[end][0], price),
        "touch": touch,
        "gross": price / ticks[entry][1] - 1,
        "net": got / paid - 1,
    }


def random_prints(seed: int, n: int, step: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "ts": pl.Series(np.cumsum(rng.integers(0, step, n))).cast(TIME),
            "price": (2000 + np.cumsum(rng.integers(-2, 3, n))) / 100,
            "buyer_maker": rng.random(n) < 0.5,
        }
    )


def events_at(prints: pl.DataFrame, rows: list[int]) -> pl.DataFrame:
    return prints[sorted(set(rows))].select(
        pl.col("ts"), pl.lit(SIGMA).alias("sigma_bar"), close="price"
    )


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(2, 400),
    step=st.sampled_from([2 * 1_000, 1_000_000, 5 * MINUTE]),
    data=st.data(),
)
def test_labels_equal_their_slow_twin_on_random_paths(
    seed, n, step, data, strategy_of, instrument_of
) -> None:
    prints = random_prints(seed, n, step)
    rows = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=6))
    events = events_at(prints, rows)
    strategy = strategy_of(costs=COSTS)
    found, unfinished = label_events(strategy, instrument_of(), tick_path(prints), events)
    listed = list(
        zip(prints["ts"].to_physical(), prints["price"], prints["buyer_maker"], strict=True)
    )
    expected = [
        (ts, slow_label(ts, close, listed))
        for ts, close in zip(events["ts"].to_physical(), events["close"], strict=True)
    ]
    finished = [(ts, label) for ts, label in expected if label]
    assert unfinished == [label for _, label in expected].count(None)
    assert found["ts"].to_physical().to_list() == [ts for ts, _ in finished]
    for row, (_, label) in zip(found.iter_rows(named=True), finished, strict=True):
        ends = found.filter(pl.col("ts") == row["ts"]).select(
            pl.col("entry_ts", "label_end").to_physical()
        )
        assert (ends["entry_ts"][0], row["entry_price"]) == label["entry"]
        assert (ends["label_end"][0], row["exit_price"]) == label["exit"]
        assert row["touch"] == label["touch"]
        assert row["gross_return"] == label["gross"]
        assert row["net_return"] == pytest.approx(label["net"], rel=1e-12, abs=1e-15)
        assert row["label"] == (row["net_return"] > 0)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), choice=st.integers(0, 10**6))
def test_nothing_after_its_end_and_nothing_before_its_decision_changes_a_label(
    seed: int, choice: int, strategy_of, instrument_of
) -> None:
    prints = random_prints(seed, 600, 30_000_000)
    events = events_at(prints, list(range(0, 500, 25)))
    strategy = strategy_of(costs=COSTS)
    whole, _ = label_events(strategy, instrument_of(), tick_path(prints), events)
    row = whole[choice % whole.height]
    start, end = row["ts"][0], row["label_end"][0]
    own = events.filter(pl.col("ts") == start)
    kept = prints.filter(pl.col("ts") <= end)
    garbage = prints.filter(pl.col("ts") > end).with_columns(
        pl.col("price") * 7, ~pl.col("buyer_maker")
    )
    early = prints.with_columns(
        price=pl.when(pl.col("ts") <= start).then(pl.col("price") / 3).otherwise(pl.col("price"))
    )
    for changed in (kept, pl.concat([kept, garbage]), early):
        again, unfinished = label_events(strategy, instrument_of(), tick_path(changed), own)
        assert unfinished == 0
        assert again.equals(row)


def test_orders_reach_the_exchange_a_latency_after_they_are_sent(
    strategy_of, instrument_of
) -> None:
    decided, ms = HOUR, 1_000
    at = [decided + 100 * ms, decided + 200 * ms, decided + 201 * ms]
    at += [decided + HOUR + 100 * ms, decided + HOUR + 200 * ms, decided + HOUR + 300 * ms]
    prints = pl.DataFrame(
        {
            "ts": pl.Series(at).cast(TIME),
            "price": [20.0, 20.01, 20.02, 20.0, 19.99, 19.98],
            "buyer_maker": [False, False, False, True, True, True],
        }
    )
    events = pl.DataFrame(
        {"ts": pl.Series([decided]).cast(TIME), "sigma_bar": [SIGMA], "close": [20.0]}
    )
    label, _ = label_events(strategy_of(costs=COSTS), instrument_of(), tick_path(prints), events)
    assert label["touch"].to_list() == ["time"]
    assert (label["entry_price"][0], label["exit_price"][0]) == (20.02, 19.98)


def test_every_label_enters_after_its_decision_and_latency_and_ends_after_its_entry(
    world, strategy_of, instrument_of
) -> None:
    world.write()
    frame, _ = label_day(world.lake, strategy_of(), instrument_of(), world.days[1])
    assert frame.height > 20
    wait = (frame["entry_ts"] - frame["ts"]).dt.total_microseconds()
    assert (wait > 200_000).all()
    assert (frame["label_end"] > frame["entry_ts"]).all()
    assert frame["valid"].all()
    validate(table("labels"), frame, "test")


def test_costs_are_what_the_exchange_and_slippage_take() -> None:
    costs = CostRule.model_validate(COSTS)
    # buy at 100 × 1.0002, fee 0.1 %; sell at 102, limit: fee 0.04 %; market: 2 bp and 0.1 %
    assert net_return(100, 102, costs, maker_exit=True) == pytest.approx(
        102 * 0.9996 / (100 * 1.0002 * 1.001) - 1
    )
    assert net_return(100, 102, costs, maker_exit=False) == pytest.approx(
        102 * 0.9998 * 0.999 / (100 * 1.0002 * 1.001) - 1
    )
    free = CostRule(taker_fee_bps=0, maker_fee_bps=0, slippage_bps=0)
    assert net_return(100, 102, free, maker_exit=False) == 102 / 100 - 1


def test_a_day_is_not_labelled_before_the_day_it_reaches_into_is_there(
    world, strategy_of, instrument_of
) -> None:
    world.write(days=world.days[:3])
    strategy, instrument = strategy_of(), instrument_of()
    label_day(world.lake, strategy, instrument, world.days[1])
    with pytest.raises(NotYetKnowable, match="2024-02-01") as caught:
        label_day(world.lake, strategy, instrument, world.days[2])
    assert "vostok materialize" in str(caught.value)
    world.write("ticks", days=[world.days[3]])
    with pytest.raises(NotYetKnowable, match="no bars"):
        label_day(world.lake, strategy, instrument, world.days[2])


@pytest.mark.parametrize(
    ("horizon", "days"), [("1h", 1), ("23h", 1), ("1d", 2), ("36h", 2), ("3d", 4)]
)
def test_the_last_event_of_a_day_comes_at_midnight(horizon: str, days: int, strategy_of) -> None:
    strategy = strategy_of(labels={"volatility": "volatility_60", "horizon": horizon})
    day = date(2024, 2, 28)
    assert last_day_needed(strategy, day) == day + timedelta(days=days)


def test_a_market_without_sellers_at_the_end_is_followed_into_the_next_days(
    world, strategy_of, instrument_of
) -> None:
    day, following = world.days[1], world.days[2]
    quiet = pl.col("ts") >= pl.datetime(2024, 1, 30, 23, time_zone="UTC")
    world.ticks[day] = world.ticks[day].filter(~quiet)
    world.ticks[following] = world.ticks[following].with_columns(buyer_maker=pl.lit(value=False))
    world.write(days=world.days[:3])
    with pytest.raises(NotYetKnowable):
        label_day(world.lake, strategy_of(), instrument_of(), day)
    world.write(days=world.days[3:4])
    frame, inputs = label_day(world.lake, strategy_of(), instrument_of(), day)
    assert f"ticks/{world.days[3]}" in inputs
    assert frame["label_end"].max() > pl.Series([world.ticks[following]["ts"][-1]])[0]


def test_many_days_at_once_are_the_days_one_by_one(world, strategy_of, instrument_of) -> None:
    world.write()
    strategy, instrument = strategy_of(), instrument_of()
    for day, frame, inputs in label_days(world.lake, strategy, instrument, world.days[:5]):
        alone, alone_inputs = label_day(world.lake, strategy, instrument, day)
        assert frame.equals(alone)
        assert inputs == alone_inputs


def test_a_gap_marks_the_labels_that_it_falls_into_and_no_others(
    world, strategy_of, instrument_of
) -> None:
    day = world.days[1]
    clean = world.bars[day]
    ends = clean["ts"].to_list()
    world.bars[day] = clean.with_columns(valid=~pl.col("ts").is_in([ends[150]]))
    world.write()
    frame, _ = label_day(world.lake, strategy_of(), instrument_of(), day)
    for row in frame.iter_rows(named=True):
        assert row["valid"] == (not row["ts"] < ends[150] <= row["label_end"])
    assert 0 < frame.filter(~pl.col("valid")).height < frame.height


def test_a_gap_that_closes_within_the_last_bar_counts_and_one_after_the_end_does_not() -> None:
    labels = pl.DataFrame(
        {"ts": pl.Series([0, 0]).cast(TIME), "label_end": pl.Series([90, 150]).cast(TIME)}
    )
    bars = pl.DataFrame(
        {"ts": pl.Series([60, 120]).cast(TIME), "valid": [True, False]}, strict=False
    )
    assert undisturbed(labels, bars).to_list() == [True, False]
    at_a_bars_end = labels.with_columns(label_end=pl.Series([120, 119]).cast(TIME))
    assert undisturbed(at_a_bars_end, bars).to_list() == [False, True]
    decided_there = labels.with_columns(
        ts=pl.Series([120, 119]).cast(TIME), label_end=pl.Series([190, 190]).cast(TIME)
    )
    assert undisturbed(decided_there, bars).to_list() == [True, False]
    spans = pl.DataFrame({"end_ts": pl.Series([85, 88]).cast(TIME), "invalidates": [False, True]})
    assert undisturbed(labels, bars, spans).to_list() == [False, False]
    later = spans.with_columns(end_ts=pl.Series([95, 95]).cast(TIME))
    assert undisturbed(labels, bars, later).to_list() == [True, False]


def test_without_ticks_labels_follow_bars_and_are_known_at_a_bars_end(
    world, strategy_of, instrument_of
) -> None:
    world.write("bars", "features")
    strategy, instrument = strategy_of(), instrument_of("none")
    frame, inputs = label_day(world.lake, strategy, instrument, world.days[1])
    assert frame.height > 20
    assert not any(name.startswith("ticks") for name in inputs)
    ends = frame["label_end"].to_physical()
    assert (ends % (5 * MINUTE) == 0).all()
    bars = pl.concat([world.bars[d] for d in world.days[1:3]])
    for row in frame.iter_rows(named=True):
        # Cut at the label's end, the bars still give the label.
        known = bars.filter(pl.col("ts") <= row["label_end"])
        own = pl.DataFrame(
            {
                "ts": [row["ts"]],
                "sigma_bar": [row["sigma"] / math.sqrt(12)],
                "close": [row["reference"]],
            },
            schema_overrides={"ts": TIME},
        )
        again, unfinished = label_events(strategy, instrument, bar_path(known, 5 * MINUTE), own)
        assert unfinished == 0
        assert again["net_return"][0] == row["net_return"]


def test_inputs_change_with_any_partition_that_a_label_looks_at(
    world, strategy_of, instrument_of
) -> None:
    world.write()
    strategy, instrument, day = strategy_of(), instrument_of(), world.days[1]
    _, before = label_day(world.lake, strategy, instrument, day)
    assert set(before) == {
        "events",
        *(f"{name}/{d}" for name in ("ticks", "bars", "quality") for d in world.days[1:3]),
    }
    world.sigma[world.days[0]] = world.sigma[world.days[0]] * 1.5
    world.write("features", days=[world.days[0]])
    _, after = label_day(world.lake, strategy, instrument, day)
    assert {k for k in before if before[k] != after[k]} == {"events"}


def test_labels_are_stale_once_anything_that_they_look_at_is_another(
    world, strategy_of, instrument_of
) -> None:
    world.write()
    strategy, instrument, days = strategy_of(), instrument_of(), world.days[1:3]
    keys = {"strategy": strategy.name, "instrument": world.name}

    def write() -> None:
        for day, frame, inputs in label_days(world.lake, strategy, instrument, days):
            version = label_version(strategy, instrument)
            world.lake.write("labels", frame, code_version=version, inputs=inputs, **keys, date=day)

    def stale() -> dict:
        found = LabelCurrency(world.lake, strategy, instrument)
        return {day: each.why for day in days if (each := found.labels(day))}

    write()
    assert stale() == {}
    after = days[1] + timedelta(days=1)
    world.ticks[after] = world.ticks[after].with_columns(pl.col("qty") * 2)
    world.write("ticks", days=[after])
    assert stale() == {days[1]: f"ticks/{after} have changed since they were made"}
    write()
    world.sigma[world.days[0]] = world.sigma[world.days[0]] * 1.5
    world.write("features", days=[world.days[0]])
    assert set(stale()) == set(days)
    write()
    assert stale() == {}
    place = {"instrument": world.name, "interval": "5m", "date": after}
    bars = world.lake.read("bars", **place)
    world.lake.write("bars", bars, code_version="another", **place)
    reached = LabelCurrency(world.lake, strategy, instrument).labels(days[1])
    # Not the day alone: what it reaches into has to be made again before it.
    assert (reached.first, reached.last) == (days[1], after)
    assert reached.assets[-1] == f"{strategy.name}/labels"
    with pytest.raises(StalePartition, match="another version of the code"):
        label_day(world.lake, strategy, instrument, days[1])
    world.write("bars", days=[after])
    other = strategy_of(costs={"taker_fee_bps": 9.0})
    looking = LabelCurrency(world.lake, other, instrument)
    found = {day: looking.labels(day) for day in days}
    assert set(found) == set(days)
    assert "other rules" in found[days[0]].why
