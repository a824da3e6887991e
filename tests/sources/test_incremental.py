"""Files that overlap: what they hold together comes out once, as if it were one file."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from vostok_core.lake.store import Lake
from vostok_core.market.days import bars_day, klines_day, ticks_day
from vostok_pipelines.landing import land
from vostok_pipelines.sources import bulk, kraken
from vostok_pipelines.sources.common import SourceFile


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.shared_data
def test_overlapping_bulk_files_make_the_klines_of_their_union(
    shared: Path, lake: Lake, instrument, tmp_path: Path
) -> None:
    """The earlier file ends inside a minute, and the later one begins inside one."""
    folder = shared / "ticks/freqtrade/kraken/trades_csv"
    whole = [
        line
        for name in ("BCHEUR.csv", "incremental_q2/BCHEUR.csv")
        for line in (folder / name).read_text().splitlines()
    ]
    whole.sort(key=lambda line: int(line.split(",")[0]))
    minutes = [int(line.split(",")[0]) // 60 for line in whole]
    # Places inside a minute that several trades share.
    inside = [k for k in range(1, len(whole)) if minutes[k] == minutes[k - 1]]
    cut, start = inside[2 * len(inside) // 3], inside[len(inside) // 3]
    market = instrument("kraken.spot.BCH-EUR", "none")
    one = bulk.read_kraken(SourceFile(Path("one"), "\n".join(whole).encode())).frame

    for number, lines in enumerate((whole[:cut], whole[start:])):
        landing = land(lake, written(tmp_path / f"{number}.csv", lines), market, "kraken-bulk")
        assert "minutes were left out" in " ".join(landing.warnings)

    made = []
    for day in lake.days("raw_klines", instrument=str(market.id), interval="1m"):
        klines, quality, inputs = klines_day(lake, market, day)
        assert not (quality["severity"] == "error").any()
        keys = {"instrument": str(market.id), "date": day}
        lake.write("klines", klines, code_version="1", inputs=inputs, interval="1m", **keys)
        lake.write("quality", quality, code_version="1", inputs=inputs, **keys)
        made.append(klines)
    assert pl.concat(made).equals(one)
    bars, _ = bars_day(lake, market, ["1m"], date(2023, 1, 2))
    traded = bars["1m"].filter(pl.col("volume") > 0)
    assert traded["source"].unique().to_list() == ["klines"]
    assert traded["buy_volume"].is_nan().all()  # nobody knows
    assert traded["trades"].sum() > 0


@pytest.mark.shared_data
def test_overlapping_files_of_trades_without_ids_make_the_ticks_of_their_union(
    shared: Path, lake: Lake, instrument, tmp_path: Path
) -> None:
    path = shared / "ticks/kraken_2018/XBTUSD-trades.seg1.csv"
    header, *lines = path.read_text().splitlines()
    lines = sorted(lines[:3000], key=lambda line: float(line.split(",")[0]))
    market = instrument("kraken.spot.BTC-USD")
    one = kraken.read_trades(SourceFile(Path("one"), "\n".join([header, *lines]).encode())).frame
    for number, part in enumerate((lines[:2000], lines[1200:2600], lines[2500:])):
        land(lake, written(tmp_path / f"{number}.csv", [header, *part]), market, "kraken-trades")
    made = []
    for day in lake.days("raw_trades", instrument=str(market.id)):
        ticks, quality, inputs = ticks_day(lake, market, day)
        keys = {"instrument": str(market.id), "date": day}
        lake.write("ticks", ticks, code_version="1", inputs=inputs, **keys)
        lake.write("quality", quality, code_version="1", inputs=inputs, **keys)
        made.append(ticks)
    columns = ["ts", "price", "qty", "buyer_maker"]
    found = pl.concat(made).select(columns).sort(columns)
    assert found.equals(one.select(columns).sort(columns))


def test_a_bulk_file_is_not_taken_for_ticks(lake: Lake, instrument, tmp_path: Path) -> None:
    """Of an instrument with ticks, what is made of it is a second view."""
    lines = [f"{1_672_531_200 + 30 * k},90.54,1.1" for k in range(20)]
    path = written(tmp_path / "XBTUSD.csv", lines)
    market = instrument("kraken.spot.BTC-USD")
    assert land(lake, path, market, "kraken-bulk").kind == "klines"
    assert lake.days("raw_trades", instrument=str(market.id)) == []
    assert lake.days("raw_klines", instrument=str(market.id), interval="1m") != []
