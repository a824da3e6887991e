"""Real markets seen twice: Binance's trades and klines, Kraken's trades and Bitfinex's bars."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from vostok_core.lake.store import Lake
from vostok_core.market.agreement import Agreement, Nearness, with_reference
from vostok_core.market.days import bars_day
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.merging import merge_day
from vostok_core.market.second_view import agreement_of, has_second_view, merge_second_view
from vostok_core.times import HOUR, day_start
from vostok_core.times import days as each_day
from vostok_pipelines.landing import land

pytestmark = pytest.mark.shared_data

_DAY = timedelta(days=1)


def instrument(name: str, tick: str, price_tick: str, quantity_step: str = "1e-8") -> Instrument:
    return Instrument(
        InstrumentId.parse(name),
        tick,  # type: ignore[arg-type]
        Decimal(price_tick),
        Decimal(quantity_step),
        Decimal(0),
        HOUR,
    )


# --- the exchange's own klines ------------------------------------------------------------------

XRP = instrument("binance.spot.XRP-ETH", "agg_trade", "0.00000001", "1")
OCTOBER = (date(2019, 10, 11), date(2019, 10, 12))


@pytest.fixture
def golden(shared: Path) -> pl.DataFrame:
    """Binance's own klines of two days; minutes without a trade are absent."""
    return pl.read_csv(shared / "bars" / "freqtrade" / "XRP_ETH-1m-first-two-days.csv")


def agreements(lake: Lake, shared: Path, klines: pl.DataFrame, tmp_path: Path) -> list[Agreement]:
    for day in OCTOBER:
        path = shared / "ticks" / "binance_aggtrades" / f"XRPETH-aggTrades-{day}.zip"
        land(lake, path, XRP, "binance-aggtrades")
    path = tmp_path / "klines.csv"
    klines.write_csv(path)
    columns = {"ts": "open_time_ms"}
    land(lake, path, XRP, "csv", kind="klines", columns=columns)
    found = []
    for day in OCTOBER:
        _, _, quality = merge_day(lake, XRP, day)
        assert quality.is_empty()
        assert has_second_view(lake, XRP, day)
        merge_second_view(lake, XRP, day)
        bars = bars_day(lake, XRP, ["1m"], day)[0]["1m"]
        agreement = agreement_of(lake, XRP, day, bars)
        assert agreement is not None
        found.append(agreement)
    return found


def test_two_days_of_binance_rebuild_its_own_klines_exactly(
    lake: Lake, shared: Path, golden: pl.DataFrame, tmp_path: Path
) -> None:
    found = agreements(lake, shared, golden, tmp_path)
    assert [each.minutes for each in found] == [1022, 973]
    assert sum(each.minutes for each in found) == golden.height
    assert all(each.differing.is_empty() for each in found)


def test_a_disagreement_planted_in_one_minute_is_named(
    lake: Lake, shared: Path, golden: pl.DataFrame, tmp_path: Path
) -> None:
    at = pl.int_range(pl.len()) == 1_500
    least = golden.with_columns(volume=pl.when(at).then(pl.col("volume") + 1).otherwise("volume"))
    _, second = agreements(lake, shared, least, tmp_path)
    [row] = second.differing.iter_rows(named=True)
    start = golden["open_time_ms"][1_500]
    assert row["ts"].timestamp() * 1000 == start + 60_000
    assert row["differs"] == "volume"
    assert row["ours"].split()[:-1] == row["theirs"].split()[:-1]
    assert float(row["theirs"].split()[-1]) - float(row["ours"].split()[-1]) == 1.0


# --- another venue ------------------------------------------------------------------------------

MAY = (date(2018, 5, 7), date(2018, 5, 18))


def reference(lake: Lake, shared: Path, base: str, tmp_path: Path) -> Instrument:
    """Bitfinex's minutes of eleven days, as bars in the lake."""
    of = instrument(f"bitfinex.spot.{base}-USD", "none", "0.1")
    first, end = (day_start(day) // 1000 for day in (MAY[0], MAY[1] + _DAY))
    rows = pl.read_parquet(shared / "bars" / "bitfinex_1m" / f"{base}USD" / "2018.parquet")
    path = tmp_path / f"{base}.parquet"
    rows.filter(pl.col("ts_ms").is_between(first, end, closed="left")).write_parquet(path)
    land(lake, path, of, "parquet", kind="klines", columns={"ts": "ts_ms"})
    keys = {"instrument": str(of.id), "interval": "1m"}
    for day in each_day(*MAY):
        merge_day(lake, of, day)
        bars = bars_day(lake, of, ["1m"], day)[0]["1m"]
        lake.write("bars", bars, code_version="t", **keys, date=day)
    return of


@pytest.mark.parametrize(
    ("base", "symbol", "price_tick", "median", "p99", "low", "high"),
    [
        ("BTC", "XBTUSD", "0.1", 11.0, 34.0, -23.1, 26.5),
        pytest.param("ETH", "ETHUSD", "0.01", 13.5, 41.0, -33.3, 31.0, marks=pytest.mark.long),
    ],
)
def test_kraken_lies_within_basis_points_of_bitfinex(
    lake: Lake,
    shared: Path,
    tmp_path: Path,
    base: str,
    symbol: str,
    price_tick: str,
    median: float,
    p99: float,
    low: float,
    high: float,
) -> None:
    other = reference(lake, shared, base, tmp_path)
    of = instrument(f"kraken.spot.{base}-USD", "trade", price_tick)
    days: set[date] = set()
    for segment in (1, 2):
        path = shared / "ticks" / "kraken_2018" / f"{symbol}-trades.seg{segment}.csv"
        days.update(land(lake, path, of, "kraken-trades").days)
    found: dict[date, Nearness] = {}
    for day in sorted(days):
        _, _, quality = merge_day(lake, of, day)
        assert set(quality["kind"]) <= {"ids_assigned", "out_of_order", "silence"}
        bars = bars_day(lake, of, ["1m"], day)[0]["1m"]
        theirs = lake.read("bars", instrument=str(other.id), interval="1m", date=day)
        found[day] = with_reference(bars, theirs)
    assert len(found) == 10
    assert all(each.within(median, p99) for each in found.values())
    # Nearly as tight as can be: every tenth less, and a day falls out.
    assert not all(each.within(0.9 * median, p99) for each in found.values())
    assert not all(each.within(median, 0.9 * p99) for each in found.values())
    bps = pl.concat(each.differences for each in found.values())["bps"]
    assert bps.len() > 11_000
    assert bps.quantile(0.01) == pytest.approx(low, abs=0.1)
    assert bps.quantile(0.99) == pytest.approx(high, abs=0.1)
    # The same minutes an hour later are another market.
    theirs = lake.read("bars", instrument=str(other.id), interval="1m", date=day)
    shifted = theirs.with_columns(pl.col("ts") + pl.duration(hours=1))
    assert not with_reference(bars, shifted).within(median, p99)
