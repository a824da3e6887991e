"""Landing: refused whole or landed by day, again without effect, one part beside the other."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from vostok_core.errors import DataError, SourceFormatError, UnknownName, UsageError
from vostok_core.lake.store import Lake
from vostok_core.market.days import bars_day, klines_day, parts_in_use, ticks_day
from vostok_core.market.instrument import Instrument
from vostok_pipelines.landing import land, land_absent, land_days
from vostok_pipelines.sources.layout import Series
from vostok_pipelines.sources.mirror import Mirror

SIXTH = date(2025, 1, 6)
SEVENTH = date(2025, 1, 7)


def snapshot(lake: Lake) -> dict[str, tuple[bytes, int]]:
    """Every file of the lake: its bytes and when it was written."""
    return {
        str(path.relative_to(lake.root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in lake.root.rglob("*")
        if path.is_file()
    }


def land_from_archive(lake: Lake, root: Path | None, instrument: Instrument, day: date) -> bool:
    """Land a day of a mirror, if it is there; raise what is wrong with it."""
    for landed, outcome in land_days(lake, Mirror(root), instrument, [day]):
        assert landed == day
        if isinstance(outcome, DataError):
            raise outcome
        return True
    return False


def archive_days(root: Path | None, instrument: Instrument) -> list[tuple[date, Path]]:
    """Each day that a mirror has, with its file."""
    files = Mirror(root).files(Series.of(instrument))
    return [(day, found.path) for day, found in files.items()]


def kraken_file(path: Path, rows: list[str]) -> Path:
    path.write_text("time,price,volume,buy_or_sell,market_or_limit,misc\n" + "\n".join(rows))
    return path


def test_a_file_becomes_one_part_for_each_day_it_spans(lake, single, tmp_path):
    second = 1_525_910_400  # 2018-05-10
    rows = [f"{second + 3 * 86_400},17.5,1,b,l,", f"{second},17,2,s,m,", f"{second + 1},18,3,b,l,"]
    path = kraken_file(tmp_path / "eos.csv", rows)

    landing = land(lake, path, single, "kraken-trades")

    assert (landing.kind, landing.rows, landing.interval) == ("trades", 3, None)
    assert landing.days == tuple(date(2018, 5, day) for day in (10, 11, 12, 13))
    name = str(single.id)
    for day, count in zip(landing.days, (2, 0, 0, 1), strict=True):
        (part,) = lake.parts("raw_trades", instrument=name, date=day)
        assert part.rows == count
        assert part.path.stem == f"part-{landing.sha256[:16]}"
        assert part.inputs["file"] == landing.sha256
    first = lake.read("raw_trades", instrument=name, date=landing.days[0])
    assert first["price"].to_list() == [17.0, 18.0]


def test_days_before_the_calendar_begins_are_left_out_and_said(lake, single, tmp_path):
    second = 1_525_910_400  # 2018-05-10
    rows = [f"{second + k * 43_200},17.5,1,b,l," for k in range(6)]
    path = kraken_file(tmp_path / "eos.csv", rows)
    landing = land(lake, path, single, "kraken-trades", since=date(2018, 5, 12))
    assert landing.days == (date(2018, 5, 12),)
    assert "2 days before 2018-05-12 were left out" in landing.warnings[-1]
    assert lake.days("raw_trades", instrument=str(single.id)) == [date(2018, 5, 12)]
    # With an earlier calendar, the same file brings the rest.
    assert len(land(lake, path, single, "kraken-trades").days) == 3
    assert len(lake.days("raw_trades", instrument=str(single.id))) == 3


def test_a_day_declared_absent_has_invalid_bars_until_its_file_lands(lake, agg, agg_day):
    for day in (6, 8):
        land(lake, agg_day(day), agg, "binance-aggtrades")
    assert land_absent(lake, agg, SEVENTH)
    assert not land_absent(lake, agg, SEVENTH)
    name = str(agg.id)
    for day in (SIXTH, SEVENTH):
        ticks, quality, inputs = ticks_day(lake, agg, day)
        keys = {"instrument": name, "date": day}
        lake.write("ticks", ticks, code_version="1", inputs=inputs, **keys)
        lake.write("quality", quality, code_version="1", inputs=inputs, **keys)
    assert ticks.is_empty()
    assert quality["kind"].sort().to_list() == ["absent", "silence"]
    made, _ = bars_day(lake, agg, ["1h"], SEVENTH)
    bars = made["1h"]
    assert bars.height == 24
    assert not bars["valid"].any()
    # The day after knows the last trade before, and finds what is missing between.
    eighth, quality, _ = ticks_day(lake, agg, date(2025, 1, 8))
    assert not eighth.is_empty()
    assert "gap" in quality["kind"]

    land(lake, agg_day(7), agg, "binance-aggtrades")
    ticks, quality, _ = ticks_day(lake, agg, SEVENTH)
    assert not ticks.is_empty()
    assert "absent" not in quality["kind"]


def test_bars_of_an_absent_day_are_valid_until_the_silence_has_lasted_too_long(lake, agg, tmp_path):
    last = 1_736_207_400  # 2025-01-06 23:50; an hour of silence is allowed
    path = tmp_path / "day.csv"
    path.write_text(f"1,10,1,1,1,{last}000000,True,True\n")
    land(lake, path, agg, "binance-aggtrades")
    land_absent(lake, agg, SEVENTH)
    for day in (SIXTH, SEVENTH):
        ticks, quality, inputs = ticks_day(lake, agg, day)
        keys = {"instrument": str(agg.id), "date": day}
        lake.write("ticks", ticks, code_version="1", inputs=inputs, **keys)
        lake.write("quality", quality, code_version="1", inputs=inputs, **keys)
    made, _ = bars_day(lake, agg, ["1m"], SEVENTH)
    bars = made["1m"]
    assert bars.height == 1440
    assert bars["valid"].to_list() == [True] * 50 + [False] * 1390


def test_a_landed_day_is_not_declared_absent(lake, agg, agg_day):
    land(lake, agg_day(6), agg, "binance-aggtrades")
    with pytest.raises(UsageError, match="has landed on 2025-01-06"):
        land_absent(lake, agg, SIXTH)


def test_landing_a_file_again_touches_nothing(lake, agg, agg_day):
    path = agg_day(6)
    land(lake, path, agg, "binance-aggtrades")
    before = snapshot(lake)
    land(lake, path, agg, "binance-aggtrades")
    assert snapshot(lake) == before


def test_a_second_file_of_a_day_lands_beside_the_first_and_the_first_landed_wins(
    lake, agg, agg_day
):
    first = agg_day(6, 5, name="first.csv")
    second = agg_day(6, 8, name="second.csv")
    second.write_text(second.read_text().replace("102.5", "999.5"))
    for attempt in ((first, second), (second, first)):
        other = Lake.open(lake.root.parent / attempt[0].stem)
        for path in attempt:
            land(other, path, agg, "binance-aggtrades")
        land(other, attempt[0], agg, "binance-aggtrades")  # its place stays the first

        assert len(other.parts("raw_trades", instrument=str(agg.id), date=SIXTH)) == 2
        ticks, quality, _ = ticks_day(other, agg, SIXTH)
        assert ticks["trade_id"].to_list() == list(range(1, 9))
        assert ticks["price"][2] == (102.5 if attempt[0] is first else 999.5)
        torn = quality.filter(quality["severity"] == "error", quality["kind"] == "duplicate")
        assert torn["count"].to_list() == [1]
        assert torn["invalidates"].all()


def prices(lake: Lake, agg: Instrument) -> list[float]:
    """Those of the trades of 2025-01-06, by id; no two files contradict one another."""
    ticks, quality, _ = ticks_day(lake, agg, SIXTH)
    assert not (quality["severity"] == "error").any()
    return ticks["price"].to_list()


def test_the_archives_newest_file_of_a_day_takes_the_place_of_those_before(lake, agg, agg_day):
    file = agg_day(6, name="XRPETH-aggTrades-2025-01-06.csv")
    good = file.read_text()
    spoilt = agg_day(6, 6).read_text().replace("101.5", "999.5")  # and a trade that never was
    root = file.parent
    expected = [100.5, 101.5, 102.5, 103.5, 104.5]
    for text, found in ((spoilt, None), (good, expected), (spoilt, None), (good, expected)):
        file.write_text(text)
        assert land_from_archive(lake, root, agg, SIXTH)
        before = snapshot(lake)
        assert land_from_archive(lake, root, agg, SIXTH)
        assert snapshot(lake) == before
        if found is not None:
            assert prices(lake, agg) == found
        else:
            assert 999.5 in prices(lake, agg)
    assert len(lake.parts("raw_trades", instrument=str(agg.id), date=SIXTH)) == 2


def test_a_file_that_replaces_takes_the_place_of_all_and_the_archives_stays_out(lake, agg, agg_day):
    agg_day(6, name="XRPETH-aggTrades-2025-01-06.csv")
    hand = agg_day(6, 6, name="hand.csv")
    hand.write_text(hand.read_text().replace("102.5", "999.5"))
    mended = agg_day(6, 4, name="mended.csv")
    rest = agg_day(6, 8, name="rest.csv")
    root = hand.parent
    land_from_archive(lake, root, agg, SIXTH)
    land(lake, hand, agg, "binance-aggtrades")
    _, quality, _ = ticks_day(lake, agg, SIXTH)
    assert quality.filter("invalidates")["kind"].to_list() == ["duplicate", "silence"]

    land(lake, mended, agg, "binance-aggtrades", replace=True)
    land(lake, rest, agg, "binance-aggtrades", replace=True, beside={SIXTH})
    assert prices(lake, agg) == [100.5 + k for k in range(8)]
    land(lake, mended, agg, "binance-aggtrades", replace=True)
    assert prices(lake, agg) == [100.5 + k for k in range(4)]
    before = snapshot(lake)
    land(lake, mended, agg, "binance-aggtrades", replace=True)
    land(lake, mended, agg, "binance-aggtrades")
    land_from_archive(lake, root, agg, SIXTH)
    assert snapshot(lake) == before
    assert len(lake.parts("raw_trades", instrument=str(agg.id), date=SIXTH)) == 4
    land(lake, rest, agg, "binance-aggtrades")  # seen again, it is the newest
    assert prices(lake, agg) == [100.5 + k for k in range(8)]

    assert land_absent(lake, agg, SIXTH, replace=True)
    assert not land_absent(lake, agg, SIXTH, replace=True)
    assert prices(lake, agg) == []
    land_from_archive(lake, root, agg, SIXTH)
    assert prices(lake, agg) == []


def test_a_file_that_was_landed_by_hand_and_lies_in_the_archive_is_the_archives(lake, agg, agg_day):
    file = agg_day(6, name="XRPETH-aggTrades-2025-01-06.csv")
    land(lake, file, agg, "binance-aggtrades")
    land_from_archive(lake, file.parent, agg, SIXTH)
    file.write_text(file.read_text().replace("102.5", "103"))
    land_from_archive(lake, file.parent, agg, SIXTH)
    assert prices(lake, agg) == [100.5, 101.5, 103.0, 103.5, 104.5]
    parts = lake.parts("raw_trades", instrument=str(agg.id), date=SIXTH)
    assert len(parts_in_use(parts)) == 1


def test_nothing_is_written_when_the_last_line_of_the_last_day_is_bad(lake, agg, agg_day):
    good = agg_day(6, 3, name="good.csv")
    land(lake, good, agg, "binance-aggtrades")
    before = snapshot(lake)
    bad = agg_day(6, 3000, name="bad.csv")
    with bad.open("a") as file:
        file.write("3001,0,1,1,1,1736208000000000,True,True\n")
    with pytest.raises(SourceFormatError, match="line 3001: price"):
        land(lake, bad, agg, "binance-aggtrades")
    assert snapshot(lake) == before


def test_a_bar_lands_on_the_day_that_it_opens_on(lake, bars_only, tmp_path):
    last_minute = 1_736_207_940  # 2025-01-06 23:59
    path = tmp_path / "bars.csv"
    path.write_text(
        "ts,open,high,low,close,volume\n"
        + "".join(f"{last_minute + k * 60},1,1,1,1,1\n" for k in range(3))
    )
    landing = land(lake, path, bars_only, "csv", kind="klines")
    assert landing.days == (SIXTH, SEVENTH)
    assert landing.interval == "1m"
    klines, _, inputs = klines_day(lake, bars_only, SIXTH)
    assert klines["ts"].dt.strftime("%F %T").to_list() == ["2025-01-07 00:00:00"]
    assert f"raw_klines/{SIXTH}/part-{landing.sha256[:16]}" in inputs


@pytest.mark.parametrize("format_", ["csv", "binance-klines"])
def test_klines_that_no_bars_are_built_from_are_refused_before_they_land(
    lake, bars_only, tmp_path, format_
):
    path = tmp_path / "bars.csv"
    opens = [1_736_121_600 + 300 * k for k in range(3)]
    if format_ == "csv":
        rows = ["ts,open,high,low,close,volume", *(f"{t},1,1,1,1,1" for t in opens)]
    else:
        rows = [f"{t}000,1,1,1,1,1,{t + 299}999,1,1,1,1,0" for t in opens]
    path.write_text("\n".join(rows))
    with pytest.raises(SourceFormatError, match="klines of 5m, and bars are built from") as caught:
        land(lake, path, bars_only, format_, kind="klines")
    assert "ingest the 1m klines" in caught.value.hint
    assert not (lake.root / "raw_klines").exists()


def test_requests_that_contradict_themselves_are_usage_errors(
    lake, agg, single, bars_only, agg_day
):
    path = agg_day(6)
    with pytest.raises(UnknownName, match="did you mean binance-aggtrades"):
        land(lake, path, agg, "binance-aggtrade")
    with pytest.raises(UsageError, match="declared as trade, and binance-aggtrades files hold agg"):
        land(lake, path, single, "binance-aggtrades")
    with pytest.raises(UsageError, match="has no ticks"):
        land(lake, path, bars_only, "binance-aggtrades")
    with pytest.raises(UsageError, match="hold trades, not klines"):
        land(lake, path, agg, "binance-aggtrades", kind="klines")
    with pytest.raises(UsageError, match="known columns"):
        land(lake, path, agg, "binance-aggtrades", columns="ts=time")
    assert not (lake.root / "raw_trades").exists()


@pytest.mark.parametrize(
    "place",
    [
        "data/spot/daily/aggTrades/XRPETH/XRPETH-aggTrades-2025-01-06.csv",
        "spot/daily/aggTrades/XRPETH/XRPETH-aggTrades-2025-01-06.csv",
        "XRPETH-aggTrades-2025-01-06.csv",
    ],
)
def test_a_day_is_found_in_the_archive_and_landed_once(lake, agg, agg_day, tmp_path, place):
    root = tmp_path / "archive"
    file = root / place
    file.parent.mkdir(parents=True)
    agg_day(6).rename(file)

    assert archive_days(root, agg) == [(SIXTH, file)]
    assert land_from_archive(lake, root, agg, SIXTH)
    before = snapshot(lake)
    assert land_from_archive(lake, root, agg, SIXTH)
    assert snapshot(lake) == before
    assert not land_from_archive(lake, root, agg, SEVENTH)


def test_an_instrument_whose_venue_has_no_archive_finds_nothing_in_anothers(lake, agg):
    assert archive_days(None, agg) == []
    assert not land_from_archive(lake, None, agg, SIXTH)


def test_an_archive_file_of_another_day_than_its_name_says_is_refused(lake, agg, agg_day, tmp_path):
    agg_day(6, name="XRPETH-aggTrades-2025-01-07.csv")
    with pytest.raises(SourceFormatError, match="named for 2025-01-07 and holds 2025-01-06"):
        land_from_archive(lake, tmp_path, agg, SEVENTH)
    assert not (lake.root / "raw_trades").exists()


def test_a_name_that_only_resembles_a_day_is_no_day_of_the_archive(agg, tmp_path):
    (tmp_path / "XRPETH-aggTrades-2025-13-06.zip").touch()
    (tmp_path / "XRPETH-aggTrades-2025-01-06.zip").touch()
    assert [day for day, _ in archive_days(tmp_path, agg)] == [SIXTH]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_refused(lake, agg, agg_day):
    path = agg_day(6)
    path.chmod(0)
    with pytest.raises(SourceFormatError, match="can't be read"):
        land(lake, path, agg, "binance-aggtrades")
