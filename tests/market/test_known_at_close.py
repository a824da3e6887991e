"""What a bar, an event or a label says is known when it closes: no future changes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vostok_core.features.frames import feature_frames
from vostok_core.features.reading import settled
from vostok_core.features.registry import pack
from vostok_core.labels.days import label_days
from vostok_core.labels.events import event_flags
from vostok_core.labels.triple_barrier import undisturbed
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME, table
from vostok_core.market.bars import bars_from_klines
from vostok_core.market.days import CODE_VERSION, bars_day, klines_day, ticks_day
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.quality import inspect_klines
from vostok_core.strategy import Strategy, StrategyFile
from vostok_core.times import DAY, HOUR, MINUTE, SECOND, day_of, day_start

NAME = "test.spot.AAA-USD"
DAYS = [date(2024, 3, 1) + timedelta(days=k) for k in range(4)]
START, END = day_start(DAYS[0]), day_start(DAYS[-1]) + DAY
QUIET = 10 * MINUTE
REACH = 90 * MINUTE


def instrument(tick: str) -> Instrument:
    step = Decimal("0.01")
    return Instrument(InstrumentId.parse(NAME), tick, step, step, Decimal(0), QUIET)  # type: ignore[arg-type]


def strategy(rule: str) -> Strategy:
    content = {
        "description": "for tests",
        "instruments": (NAME,),
        "interval": "1m",
        "events": {"kind": rule, "threshold": 3.0},
        "labels": {"volatility": "volatility_60", "horizon": "40m"},
    }
    return Strategy("test", StrategyFile.model_validate(content))


def waits(rng: np.random.Generator, count: int) -> np.ndarray:
    """Mostly a minute, sometimes too long or just not, once in a while hours."""
    kind = rng.random(count)
    usual = rng.exponential(40 * SECOND, count)
    long = rng.choice([QUIET - 1, QUIET, QUIET + 1, 12 * MINUTE, 3 * HOUR], count)
    return np.where(kind < 0.99, usual, long).astype(np.int64)


def trades(rng: np.random.Generator, begin: int, first_id: int, price: float) -> pl.DataFrame:
    """Trades from `begin` to the end of the world; ids with holes, times that run backwards."""
    ts = begin + np.cumsum(waits(rng, 12_000))
    late = rng.random(ts.size) < 0.005  # many more would poison the day
    late[0] = False
    # Not over midnight, where batch has a seam that docs/sources.md describes.
    early = np.maximum(ts - rng.integers(0, 5 * MINUTE, ts.size), ts // DAY * DAY)
    ids = first_id + np.cumsum(np.where(rng.random(ts.size) < 0.002, 4, 1))
    steps = rng.normal(0, 5e-4, ts.size)
    steps[rng.random(ts.size) < 3e-4] += 1.0  # one trade of many times the price, or all after it
    steps[rng.random(ts.size) < 3e-4] -= 1.0
    frame = pl.DataFrame(
        {
            "trade_id": ids,
            "ts": pl.Series(np.where(late, early, ts), dtype=pl.Int64).cast(TIME),
            "price": np.round(price * np.exp(np.cumsum(steps)), 2),
            "qty": np.ones(ts.size),
            "buyer_maker": rng.random(ts.size) < 0.5,
        }
    )
    return frame.filter(pl.Series(ts < END))


def klines(rng: np.random.Generator, begin: int, price: float) -> pl.DataFrame:
    """1-minute klines that begin at `begin` or after it, with runs of absent ones."""
    steps = np.maximum(1, waits(rng, 12_000) // MINUTE)
    ends = begin + np.cumsum(steps) * MINUTE
    moves = rng.normal(0, 1e-3, ends.size) + rng.choice(
        [0, 1, -1], ends.size, p=[0.998, 1e-3, 1e-3]
    )
    close = np.round(price * np.exp(np.cumsum(moves)), 2)
    return pl.DataFrame(
        {
            "ts": pl.Series(ends, dtype=pl.Int64).cast(TIME),
            **dict.fromkeys(("open", "high", "low", "close"), close),
            "volume": rng.integers(0, 4, ends.size).astype(np.float64),  # some are published empty
        }
    ).filter(pl.col("ts").to_physical() <= END)


def worlds(tick: str, seed: int) -> tuple[int, list[pl.DataFrame]]:
    """A time, and three rows of a source that agree on everything before it: two with a future
    each, and one after which nothing came."""
    rng = np.random.default_rng([seed, 0])
    cut = int(rng.integers(START + DAY, START + 2 * DAY)) // MINUTE * MINUTE
    cut += int(rng.choice([0, 0, 1, 17 * SECOND])) if tick == "trade" else 0
    if tick == "trade":
        whole = trades(rng, START, 0, 100.0)
        newest = whole["ts"].to_physical().cum_max()
        past = whole.filter(newest < cut)
    else:
        dark = int(rng.integers(0, 10)) * MINUTE  # an outage may have begun that has not shown
        past = klines(rng, START, 100.0).filter(pl.col("ts").to_physical() <= cut - dark)
    frames = [past]
    for future in (1, 2):  # the second begins with an outage, or trades that are missing
        rng = np.random.default_rng([seed, future])
        begin = cut + int(rng.choice([0, QUIET + 1, 5 * HOUR])) // MINUTE * MINUTE * (future - 1)
        if tick == "trade":
            first = int(past["trade_id"][-1]) + (7 if begin == cut and future == 2 else 0)
            frames.append(pl.concat([past, trades(rng, begin, first, 100.0 * future)]))
        else:
            frames.append(pl.concat([past, klines(rng, begin, 100.0 * future)]))
    return cut, frames[1:] + frames[:1]


def fill(lake: Lake, of: Instrument, rows: pl.DataFrame) -> Lake:
    """From landed rows to features, days in order."""
    name = "raw_klines" if of.tick == "none" else "raw_trades"
    schema = table(name).schema
    rows = rows.with_columns(row=pl.int_range(rows.height, dtype=pl.Int64))
    rows = rows.with_columns(
        pl.lit(None, dtype=kind).alias(column)
        for column, kind in schema.items()
        if column not in rows.columns
    ).select(*schema)
    keys = {"instrument": NAME}
    interval = {"interval": "1m"}
    width = 1 if of.tick == "none" else 0  # a kline belongs to the day that it opens on
    days = ((rows["ts"].to_physical() - width) // DAY).rename("day")
    for day in DAYS:
        own = rows.filter(days == day_start(day) // DAY)
        more = interval if of.tick == "none" else {}
        lake.write(name, own, code_version="t", part="f", **keys, **more, date=day)
        if of.tick == "none":
            made, quality, _ = klines_day(lake, of, day)
            lake.write("klines", made, code_version=CODE_VERSION, **keys, **interval, date=day)
        else:
            made, quality, _ = ticks_day(lake, of, day)
            lake.write("ticks", made, code_version=CODE_VERSION, **keys, date=day)
        lake.write("quality", quality, code_version=CODE_VERSION, **keys, date=day)
        bars, _ = bars_day(lake, of, ["1m"], day)
        lake.write("bars", bars["1m"], code_version=CODE_VERSION, **keys, **interval, date=day)
    core = pack("core")
    for day, frame, inputs in feature_frames(lake, core, NAME, "1m", DAYS):
        place = {"pack": "core", **keys, **interval, "date": day}
        lake.write("features", frame, code_version=core.hash, inputs=inputs, **place)
    return lake


def bars_of(lake: Lake) -> pl.DataFrame:
    return pl.concat(lake.read("bars", instrument=NAME, interval="1m", date=d) for d in DAYS)


def steady(bars: pl.DataFrame) -> pl.DataFrame:
    """Which bars can be decided on, by features that look back for `REACH`."""
    broken = bars.filter(~pl.col("valid"))["ts"].to_physical().to_numpy()
    return bars.select(
        "ts", steady=pl.Series(settled(bars["ts"].to_physical().to_numpy(), broken, REACH))
    )


@pytest.mark.parametrize("tick", ["trade", "none"])
@pytest.mark.parametrize("seed", range(6))
def test_no_future_changes_what_was_said_at_a_close(tmp_path: Path, tick: str, seed: int) -> None:
    cut, rows = worlds(tick, seed)
    of = instrument(tick)
    lakes = [fill(Lake.open(tmp_path / str(k)), of, frame) for k, frame in enumerate(rows)]
    until = pl.col("ts").to_physical() <= cut
    said = [bars_of(lake) for lake in lakes]
    one, *others = (bars.filter(until) for bars in said)
    assert one.height > 200
    assert 0 < one["valid"].sum() < one.height
    assert not said[0].equals(said[1])
    # All of a bar: prices, sums and whether it is valid.
    assert all(bars.equals(one) for bars in others)
    at_close = [steady(bars).filter(until) for bars in said]
    assert all(frame.equals(at_close[0]) for frame in at_close)
    for rule in ("every_bar", "cusum"):
        flags = [event_flags(lake, strategy(rule), NAME, DAYS).filter(until) for lake in lakes]
        assert flags[0]["event"].any()
        assert all(frame.equals(flags[0]) for frame in flags)
    # A label whose fill is the last print before the cut is known by then; so is its validity.
    days = [day for day in DAYS[:3] if day <= day_of(cut)]
    rule = strategy("every_bar")
    a, b = (
        pl.concat(frame for _, frame, _ in label_days(lake, rule, of, days)).filter(
            pl.col("label_end").to_physical() < cut + (tick == "none")
        )
        for lake in lakes[:2]
    )
    assert a.height > 100
    assert 0 < a["valid"].sum() < a.height
    assert a.equals(b)


def valid_by_stream(rows: pl.DataFrame) -> Iterator[tuple[int, bool]]:
    """End of every bar, and whether it is valid, by someone who hears one trade after the other."""
    stream = iter(rows.select("trade_id", pl.col("ts").to_physical(), "price").rows())
    coming = next(stream, None)
    heard, last, level = START, None, None
    for end in range(START + MINUTE, END + 1, MINUTE):
        good = True
        while coming is not None and coming[1] < end:
            trade_id, ts, price = coming
            good &= max(ts, heard) - heard <= QUIET
            good &= last is None or trade_id == last + 1
            good &= level is None or level / 2 <= price <= level * 2
            heard, last, level = max(ts, heard), trade_id, price
            coming = next(stream, None)
        if last is not None:
            yield end, good and end - heard <= QUIET


@pytest.mark.parametrize("seed", range(20, 23))
def test_batch_calls_the_bars_valid_that_a_stream_does(lake: Lake, seed: int) -> None:
    _, (rows, *_) = worlds("trade", seed)
    bars = bars_of(fill(lake, instrument("trade"), rows))
    found = list(zip(bars["ts"].to_physical(), bars["valid"], strict=True))
    assert found == list(valid_by_stream(rows))
    assert 0.02 < 1 - bars["valid"].mean() < 0.5


def test_a_kline_label_does_not_know_that_an_outage_will_last() -> None:
    of = instrument("none")
    label = pl.DataFrame(
        {"ts": [START + 550 * MINUTE], "label_end": [START + 610 * MINUTE]}
    ).select(pl.all().cast(TIME))
    late = label.with_columns(label_end=pl.Series([START + 611 * MINUTE]).cast(TIME))
    for back in (603, 610, 611, 700, 1439):
        minutes = [k for k in range(1440) if not 600 <= k < back]
        rows = pl.DataFrame(
            {"ts": pl.Series([START + (k + 1) * MINUTE for k in minutes]).cast(TIME)}
            | {name: [1.0] * len(minutes) for name in ("open", "high", "low", "close", "volume")}
        ).with_columns(
            pl.lit(None, pl.Float64).alias("quote_volume"),
            pl.lit(None, pl.Int64).alias("trades"),
            pl.lit(None, pl.Float64).alias("buy_volume"),
        )
        quality = inspect_klines(rows, DAYS[0], of)
        bars = bars_from_klines(rows, DAYS[0], "1m", of, None, quality)
        # Ten minutes without a kline are what `max_silence` allows; the eleventh is not.
        assert undisturbed(label, bars).to_list() == [True]
        assert undisturbed(late, bars).to_list() == [back <= 610]
