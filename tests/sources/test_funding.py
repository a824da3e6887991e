"""Funding rates: from files of months to the days of the table `funding`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.hashing import hash_file
from vostok_core.lake.store import Lake
from vostok_core.market.days import ARCHIVE
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.times import days as each_day
from vostok_pipelines.funding import (
    due_funding,
    funding_files,
    land_archived_funding,
    land_funding,
    read_rates,
)
from vostok_pipelines.landing import land
from vostok_pipelines.sources.layout import Series
from vostok_pipelines.sources.mirror import Mirror

HEADER = "calc_time,funding_interval_hours,last_funding_rate\n"
START = 1_735_689_600_000  # 2025-01-01, in milliseconds
HOUR = 3_600_000
FIRST, LAST = date(2025, 1, 1), date(2025, 1, 31)
EVERY = list(each_day(FIRST, LAST))


@pytest.fixture
def perpetual(agg: Instrument) -> Instrument:
    return replace(agg, id=InstrumentId.parse("binance.usdm.BTC-USDT"))


def rows(count: int = 93, *, first: int = 0, rate: str = "0.00010000") -> str:
    """A settlement every eight hours, some milliseconds late, as they are."""
    return "".join(
        f"{START + 8 * HOUR * k + k % 7},8,{rate if k % 2 else '-0.00003'}\n"
        for k in range(first, first + count)
    )


@pytest.fixture
def put(tmp_path: Path, perpetual: Instrument, packed: Callable[[str, str], bytes]):
    """Puts the file of January 2025 into a mirror."""
    series = Series.funding(perpetual)
    assert series is not None
    path = tmp_path / "archive" / series.monthly(FIRST).path

    def write(text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(HEADER + text, "zip"))
        return path

    return write


def due(lake: Lake, mirror: Mirror, instrument: Instrument) -> list[date]:
    files = funding_files(mirror, instrument)
    hashes = {day: hash_file(found.path) for day, found in files.items()}
    return list(due_funding(lake, instrument, hashes).days)


def test_a_month_of_the_mirror_becomes_its_days_and_is_due_until_then(
    lake: Lake, perpetual: Instrument, put, tmp_path: Path
) -> None:
    mirror = Mirror(tmp_path / "archive")
    assert due(lake, mirror, perpetual) == []
    put(rows(90, first=3))  # nothing was settled on the first day
    assert due(lake, mirror, perpetual) == EVERY
    landed = dict(land_archived_funding(lake, mirror, perpetual, [*EVERY, date(2025, 2, 1)]))
    assert landed == dict.fromkeys(EVERY)
    assert due(lake, mirror, perpetual) == []
    keys = {"instrument": str(perpetual.id)}
    assert lake.read("funding", **keys, date=FIRST).is_empty()
    second = lake.read("funding", **keys, date=date(2025, 1, 2))
    assert second["ts"].dt.strftime("%F %T%.3f").to_list() == [
        "2025-01-02 00:00:00.003", "2025-01-02 08:00:00.004", "2025-01-02 16:00:00.005",
    ]  # fmt: skip
    assert second["rate"].to_list() == [0.0001, -0.00003, 0.0001]
    assert second["interval_hours"].to_list() == [8, 8, 8]
    info = lake.info("funding", **keys, date=FIRST)
    assert info.inputs[ARCHIVE] == "BTCUSDT-fundingRate-2025-01.zip"
    written = info.path.stat().st_mtime_ns
    assert dict(land_archived_funding(lake, mirror, perpetual, EVERY)) == landed
    assert info.path.stat().st_mtime_ns == written


def test_a_corrected_month_is_due_again_and_the_archive_wins_over_what_was_landed_by_hand(
    lake: Lake, perpetual: Instrument, put, tmp_path: Path
) -> None:
    mirror, path = Mirror(tmp_path / "archive"), put(rows())
    list(land_archived_funding(lake, mirror, perpetual, EVERY))
    put(rows(rate="0.0002"))
    assert due(lake, mirror, perpetual) == EVERY
    list(land_archived_funding(lake, mirror, perpetual, EVERY))
    assert due(lake, mirror, perpetual) == []
    hand = tmp_path / "BTCUSDT-fundingRate-2025-01.csv"
    hand.write_text(HEADER + rows(rate="0.0003"))
    rates, days = land_funding(lake, hand, perpetual, since=date(2025, 1, 30))
    assert (rates.rows, days) == (93, [date(2025, 1, 30), LAST])
    assert due(lake, mirror, perpetual) == [date(2025, 1, 30), LAST]
    path.unlink()
    assert due(lake, mirror, perpetual) == []


def test_a_bad_file_says_so_of_each_of_its_days(
    lake: Lake, perpetual: Instrument, put, tmp_path: Path
) -> None:
    put(rows(5) + f"{START + 40 * HOUR},8,many\n")
    found = dict(land_archived_funding(lake, Mirror(tmp_path / "archive"), perpetual, EVERY[:2]))
    assert all("line 7: last_funding_rate should be a number" in str(e) for e in found.values())
    assert not (lake.root / "funding").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{START},8,1.5\n", "a fraction from -1 to 1"),
        (f"{START},8,nan\n", "a fraction from -1 to 1"),
        (f"{START},0,0.1\n", "from 1 to 24"),
        (f"{START},8,0.1\n{START},8,0.1\n", "later than that of the line before"),
        ("17,8,0.1\n", "a time since 1970"),
        (f"{START},8,0.1,2\n", "columns"),
    ],
)
def test_what_is_no_funding_rate_is_refused_with_its_line(
    tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(HEADER + text)
    with pytest.raises(SourceFormatError, match=told):
        read_rates(path)


def test_an_instrument_without_funding_rates_and_a_file_of_another_symbol_are_refused(
    lake: Lake, agg: Instrument, perpetual: Instrument, tmp_path: Path
) -> None:
    path = tmp_path / "ETHUSDT-fundingRate-2025-01.csv"
    path.write_text(HEADER + rows())
    with pytest.raises(UsageError, match="has no funding rates: its market is spot"):
        land_funding(lake, path, agg)
    with pytest.raises(SourceFormatError, match="named for ETHUSDT"):
        land_funding(lake, path, perpetual)
    series = Series.funding(perpetual)
    assert series is not None
    with pytest.raises(SourceFormatError, match="named for 2025-02 and holds 2025-01-01"):
        read_rates(path, (date(2025, 2, 1), date(2025, 2, 28)))


@given(st.binary(max_size=200) | st.text(alphabet="0123456789,.-\nabcE", max_size=200))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_makes_the_reader_fail_otherwise(tmp_path: Path, text: bytes | str) -> None:
    path = tmp_path / "rates.csv"
    path.write_bytes(text if isinstance(text, bytes) else (HEADER + text).encode())
    try:
        rates = read_rates(path)
    except SourceFormatError as error:
        hint = error.hint
    else:
        hint = "none needed"
        assert rates.rows == sum(frame.height for frame in rates.days.values())
    assert hint


@pytest.mark.parametrize("format_", ["binance-aggtrades", "kraken-trades"])
def test_a_file_of_funding_rates_is_recognized_under_another_format(
    lake: Lake, perpetual: Instrument, put: Callable[[str], Path], format_: str
) -> None:
    tick = "agg_trade" if format_ == "binance-aggtrades" else "trade"
    with pytest.raises(SourceFormatError) as caught:
        land(lake, put(rows()), replace(perpetual, tick=tick), format_)
    assert "name --format binance-funding" in caught.value.hint
