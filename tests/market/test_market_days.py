"""From landed files to bars, a day at a time, on what real exchanges published."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from vostok_core.errors import MissingPartition, StalePartition, UsageError
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME
from vostok_core.market.currency import require_current_bars, stale_bars
from vostok_core.market.days import (
    CODE_VERSION,
    bars_day,
    klines_day,
    previous_tick,
    ticks_day,
)
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.times import HOUR, MINUTE, days
from vostok_pipelines.landing import land


def instrument(name: str, tick: Any, step: str, max_silence: int = HOUR) -> Instrument:
    return Instrument(
        id=InstrumentId.parse(name),
        tick=tick,
        price_tick=Decimal("0.00000001"),
        quantity_step=Decimal(step),
        min_notional=Decimal(0),
        max_silence=max_silence,
    )


XRP = instrument("binance.spot.XRP-ETH", "agg_trade", "1")
EOS = instrument("kraken.spot.EOS-USD", "trade", "0.00000001", 2 * HOUR)
BTC = instrument("bitfinex.spot.BTC-USD", "none", "0.00000001")


def refine(lake: Lake, of: Instrument, day: date, interval: str = "1m") -> pl.DataFrame:
    """Write ticks (or klines), quality and bars of a day; returns the bars."""
    keys = {"instrument": str(of.id), "date": day}
    if of.tick == "none":
        frame, quality, inputs = klines_day(lake, of, day)
        lake.write("klines", frame, code_version=CODE_VERSION, inputs=inputs, interval="1m", **keys)
    else:
        frame, quality, inputs = ticks_day(lake, of, day)
        lake.write("ticks", frame, code_version=CODE_VERSION, inputs=inputs, **keys)
    lake.write("quality", quality, code_version=CODE_VERSION, inputs=inputs, **keys)
    made, inputs = bars_day(lake, of, [interval], day)
    bars = made[interval]
    lake.write("bars", bars, code_version=CODE_VERSION, inputs=inputs, interval=interval, **keys)
    return bars


@pytest.mark.shared_data
def test_minute_bars_of_two_real_binance_days_equal_the_published_ones(lake, shared):
    built = []
    for day in (date(2019, 10, 11), date(2019, 10, 12)):
        zipped = shared / "ticks" / "binance_aggtrades" / f"XRPETH-aggTrades-{day}.zip"
        land(lake, zipped, XRP, "binance-aggtrades")
        bars = refine(lake, XRP, day)
        assert bars.height == 1440
        assert bars["valid"].all()
        assert lake.read("quality", instrument=str(XRP.id), date=day).is_empty()
        built.append(bars)
    published = pl.read_csv(shared / "bars" / "freqtrade" / "XRP_ETH-1m-first-two-days.csv")

    traded = pl.concat(built).filter(pl.col("trades") > 0)

    columns = ["open", "high", "low", "close", "volume"]
    ends = (pl.col("open_time_ms") * 1000 + MINUTE).cast(TIME).alias("ts")
    assert traded.height == 1995
    assert traded.select("ts", *columns).equals(published.select(ends, *columns))
    # The second day's first bar is compared with the last trade of the day before.
    assert built[1]["return_sq_sum"][0] > 0


@pytest.mark.shared_data
def test_the_outages_of_a_real_kraken_collector_are_found_and_nothing_else(lake, shared):
    landing = land(lake, shared / "ticks/kraken_2018/EOSUSD-trades.csv", EOS, "kraken-trades")
    first, last = landing.days[0], landing.days[-1]
    assert (first, last) == (date(2018, 5, 7), date(2018, 6, 7))
    assert landing.rows == 70_327

    silences = []
    rows = 0
    for day in days(first, last):
        bars = refine(lake, EOS, day)
        ticks = lake.read("ticks", instrument=str(EOS.id), date=day)
        quality = lake.read("quality", instrument=str(EOS.id), date=day)
        rows += ticks.height
        assert ticks["ts"].is_sorted()
        assigned = quality.filter(pl.col("kind") == "ids_assigned")["count"].to_list()
        assert assigned == ([ticks.height] if ticks.height else [])
        silences.append(quality.filter(pl.col("kind") == "silence"))
        if day >= date(2018, 5, 24):
            assert bars.height == 1440
            assert bars["valid"].all()
        if day in (date(2018, 5, 19), date(2018, 5, 20)):  # wholly inside an outage
            assert bars.height == 1440
            assert not bars["valid"].any()
            assert bars["volume"].sum() == 0

    assert rows == 70_327
    # Each outage is seen with its whole length on the day it ends.
    found = pl.concat(silences).group_by("ts").agg(pl.col("count").max()).sort("ts")
    assert found.with_columns(pl.col("ts").dt.date()).rows() == [
        (date(2018, 5, 7), 1348),  # nothing is known before the file begins
        (date(2018, 5, 11), 1494),
        (date(2018, 5, 18), 3488),
        (date(2018, 5, 22), 970),
    ]
    ids = pl.concat(
        lake.read("ticks", instrument=str(EOS.id), date=day) for day in days(first, last)
    )["trade_id"]
    assert ids.is_sorted()
    assert ids.n_unique() == rows


@pytest.mark.shared_data
def test_bars_are_stale_once_the_ticks_or_quality_that_they_were_built_from_are_others(
    lake, shared
):
    name, (first, second) = str(XRP.id), (date(2019, 10, 11), date(2019, 10, 12))
    for day in (first, second):
        zipped = shared / "ticks" / "binance_aggtrades" / f"XRPETH-aggTrades-{day}.zip"
        land(lake, zipped, XRP, "binance-aggtrades")
        refine(lake, XRP, day)
    assert stale_bars(lake, name, "1m", [first, second]) == {}
    ticks = lake.read("ticks", instrument=name, date=first)
    lake.write("ticks", ticks[:-1], code_version=CODE_VERSION, instrument=name, date=first)
    found = stale_bars(lake, name, "1m", [first, second])
    assert sorted(found) == [first, second]
    assert {stale.why for stale in found.values()} == {
        f"other files have landed on {first} than its ticks were merged from"
    }
    with pytest.raises(StalePartition, match="stale on 2 days") as caught:
        require_current_bars(lake, name, "1m", [first, second])
    chain = f"ticks,quality,bars --instrument {name} --from {first} --to {second}"
    assert chain in caught.value.hint
    refine(lake, XRP, first)
    # The second day began where the first ended, and that is another place now.
    info = lake.info("bars", instrument=name, interval="1m", date=second)
    known = dict(info.inputs) | {f"ticks/{first}": "another"}
    bars = lake.read("bars", instrument=name, interval="1m", date=second)
    keys = {"instrument": name, "interval": "1m", "date": second}
    lake.write("bars", bars, code_version=CODE_VERSION, inputs=known, **keys)
    found = stale_bars(lake, name, "1m", [first, second])
    assert {day: stale.why for day, stale in found.items()} == {
        second: f"ticks/{first} has changed since they were made"
    }
    refine(lake, XRP, second)
    require_current_bars(lake, name, "1m", [first, second])
    bars = lake.read("bars", instrument=name, interval="1m", date=second)
    keys = {"instrument": name, "interval": "1m", "date": second}
    lake.write("bars", bars, code_version="0", **keys)
    with pytest.raises(StalePartition, match="another version of the code"):
        require_current_bars(lake, name, "1m", [second])


@pytest.mark.shared_data
def test_an_overlapping_real_file_adds_only_the_trades_that_are_new(lake, shared, tmp_path):
    lines = (shared / "ticks/kraken_2018/EOSUSD-trades.csv").read_text().splitlines()
    header, trades = lines[0], lines[1:1500]
    day = date(2018, 5, 8)

    def merged(name: str, *pieces: list[str]) -> pl.DataFrame:
        other = Lake.open(tmp_path / name)
        for k, piece in enumerate(pieces):
            path = tmp_path / f"{name}-{k}.csv"
            path.write_text("\n".join([header, *piece]))
            land(other, path, EOS, "kraken-trades")
        refine(other, EOS, day - timedelta(days=1))
        return ticks_day(other, EOS, day)[0]

    whole = merged("whole", trades)
    assert whole.height > 1000
    # Equal times keep the order of their files, so compare where no time is shared between files.
    pieces = merged("pieces", trades[:900], trades[600:])
    assert pieces.equals(whole)


@pytest.mark.shared_data
def test_real_klines_become_bars_whose_tick_statistics_are_nan(lake, shared):
    path = shared / "bars" / "bitfinex_1m" / "BTCUSD" / "2017.parquet"
    raw = pl.read_parquet(path)
    part = lake.root.parent / "part.parquet"
    raw.head(4 * 1440).write_parquet(part)
    landing = land(lake, part, BTC, "parquet", kind="klines", columns="ts=ts_ms")

    built = pl.concat([refine(lake, BTC, day) for day in landing.days[:3]])

    published = raw.filter(
        pl.col("ts_ms") < raw["ts_ms"][0] // 86_400_000 * 86_400_000 + 259_200_000
    )
    traded = built.filter(pl.col("volume") > 0)
    columns = ["open", "high", "low", "close", "volume"]
    ends = (pl.col("ts_ms") * 1000 + MINUTE).cast(TIME).alias("ts")
    assert traded.select("ts", *columns).equals(published.select(ends, *columns))
    assert built.height == 3 * 1440
    assert built["source"].unique().to_list() == ["klines"]
    for name in ("trades", "buy_volume", "vwap", "size_entropy", "return_sq_sum", "max_qty"):
        assert built[name].is_nan().all()
    hours = bars_day(lake, BTC, ["1h"], landing.days[1])[0]["1h"]
    assert hours.height == 24
    assert hours["close"][-1] == built["close"][2 * 1440 - 1]


def agg_file(path: Path, day: date, first_id: int, count: int = 3) -> Path:
    start = (day - date(1970, 1, 1)).days * 86_400_000
    path.write_text(
        "".join(
            f"{first_id + k},{10 + k},1,{first_id + k},{first_id + k},"
            f"{start + (k + 1) * 60_000},True,True\n"
            for k in range(count)
        )
    )
    return path


def test_the_day_before_decides_about_gaps_bars_and_inputs(lake, tmp_path):
    monday, tuesday = date(2024, 1, 1), date(2024, 1, 2)
    of = instrument("binance.spot.A-B", "agg_trade", "1", 30 * HOUR)
    land(lake, agg_file(tmp_path / "2.csv", tuesday, 5), of, "binance-aggtrades")

    alone = refine(lake, of, tuesday)
    assert lake.read("quality", instrument=str(of.id), date=tuesday).is_empty()
    assert alone.height == 1439
    land(lake, agg_file(tmp_path / "1.csv", monday, 1), of, "binance-aggtrades")
    refine(lake, of, monday)
    known = refine(lake, of, tuesday)

    quality = lake.read("quality", instrument=str(of.id), date=tuesday)
    assert quality.select("kind", "count").rows() == [("gap", 1)]
    assert known.height == 1440
    assert known["close"][0] == 12.0
    assert known["valid"].to_list() == [True, False] + [True] * 1438
    inputs = lake.info("bars", instrument=str(of.id), interval="1m", date=tuesday).inputs
    days_read = ["klines/2024-01-02", "quality/2024-01-02", "ticks/2024-01-01", "ticks/2024-01-02"]
    assert sorted(inputs) == sorted([*days_read, "rules"])


def test_the_newest_tick_is_sought_across_silent_days_but_not_across_absent_ones(lake, tmp_path):
    of = instrument("binance.spot.A-B", "agg_trade", "1")
    first = date(2024, 1, 1)
    path = agg_file(tmp_path / "1.csv", first, 1)
    later = agg_file(tmp_path / "2.csv", first + timedelta(days=3), 4)
    path.write_text(path.read_text() + later.read_text())
    land(lake, path, of, "binance-aggtrades")
    for k in range(3):
        refine(lake, of, first + timedelta(days=k))

    newest, read = previous_tick(lake, of, first + timedelta(days=3))
    assert newest is not None
    assert newest.trade_id == 3
    assert list(read) == ["ticks/2024-01-03", "ticks/2024-01-02", "ticks/2024-01-01"]
    nothing = {f"ticks/{first + timedelta(days=4)}": "nothing"}
    assert previous_tick(lake, of, first + timedelta(days=5)) == (None, nothing)


@pytest.mark.parametrize("kind", ["ticks", "klines"])
def test_a_day_waits_for_the_landed_days_before_it(lake, tmp_path, kind):
    first = date(2024, 1, 1)
    path = tmp_path / "a.csv"
    if kind == "ticks":
        of = instrument("binance.spot.A-B", "agg_trade", "1")
        one = agg_file(tmp_path / "1.csv", first, 1)
        path.write_text(one.read_text() + agg_file(path, date(2024, 1, 4), 4).read_text())
        land(lake, path, of, "binance-aggtrades")
        make = ticks_day
    else:
        of = BTC
        times = [1_704_067_200 + 60 * k for k in (0, 1, 3 * 1440)]
        path.write_text(
            "ts,open,high,low,close,volume\n" + "".join(f"{t},1,1,1,1,1\n" for t in times)
        )
        land(lake, path, of, "csv", kind="klines")
        make = klines_day

    with pytest.raises(MissingPartition, match=f"landed on 2024-01-03 and its {kind}") as caught:
        make(lake, of, date(2024, 1, 4))
    # One command, of all the days that are lacking.
    wanted = f"materialize {kind},quality --instrument {of.id} --from 2024-01-01 --to 2024-01-03"
    assert wanted in str(caught.value)
    refine(lake, of, first)
    with pytest.raises(MissingPartition, match="--from 2024-01-02 --to 2024-01-03"):
        make(lake, of, date(2024, 1, 4))
    for day in days(date(2024, 1, 2), date(2024, 1, 4)):
        refine(lake, of, day)


def test_times_that_run_backwards_over_midnight_leave_a_seam_that_quality_names(lake, tmp_path):
    of = instrument("binance.spot.A-B", "trade", "1", 30 * HOUR)
    midnight = 1_704_153_600_000
    stamps = [midnight - 70_000, midnight + 1, midnight - 1, midnight + 70_000]
    prices = [100, 101, 99, 100]
    path = tmp_path / "1.csv"
    path.write_text(
        "".join(
            f"{k},{price},1,{price},{stamp},True,True\n"
            for k, (stamp, price) in enumerate(zip(stamps, prices, strict=True))
        )
    )
    land(lake, path, of, "binance-trades")

    before, after = (refine(lake, of, day) for day in days(date(2024, 1, 1), date(2024, 1, 2)))

    # A stream that goes on would have counted trade 2 in the bar of trade 1, the open one.
    assert (before["last_trade_id"][-1], after["first_trade_id"][0]) == (2, 1)
    assert not before["valid"][-1]
    assert after["valid"].to_list() == [False, False] + [True] * 1438
    found = pl.concat(
        lake.read("quality", instrument=str(of.id), date=d)
        for d in days(date(2024, 1, 1), date(2024, 1, 2))
    )
    assert found["kind"].to_list() == ["gap"] * 3


def test_a_day_that_never_landed_is_a_missing_partition_with_a_way_out(lake):
    with pytest.raises(MissingPartition, match="vostok ingest"):
        ticks_day(lake, EOS, date(2024, 1, 1))
    with pytest.raises(MissingPartition, match="vostok ingest"):
        klines_day(lake, BTC, date(2024, 1, 1))
    with pytest.raises(MissingPartition, match="vostok materialize quality"):
        bars_day(lake, EOS, ["1m"], date(2024, 1, 1))
    with pytest.raises(UsageError, match="has no ticks"):
        ticks_day(lake, BTC, date(2024, 1, 1))


def test_bars_shorter_than_a_minute_can_not_come_from_klines(lake, tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text("ts,open,high,low,close,volume\n1704067200,1,1,1,1,1\n1704067260,1,1,1,1,1\n")
    land(lake, path, BTC, "csv", kind="klines")
    with pytest.raises(UsageError, match="15s bars can't be built from 1-minute klines"):
        refine(lake, BTC, date(2024, 1, 1), "15s")
