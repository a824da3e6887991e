"""Files of months: landed by their days, and one content with the files of these days."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from vostok_core.errors import DataError
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.days import (
    ALSO,
    ARCHIVE,
    FETCHED,
    ORDER,
    RECORDED,
    REPAIR,
    parts_in_use,
    read_otherwise,
    ticks_day,
)
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.parts import need_not_land, part_name, write_part
from vostok_core.market.ticks import merge
from vostok_core.times import days as each_day
from vostok_pipelines.landing import land, land_absent, land_days
from vostok_pipelines.sources import binance, by_day
from vostok_pipelines.sources.common import SourceFile
from vostok_pipelines.sources.layout import Series, month_of
from vostok_pipelines.sources.mirror import Mirror

FIRST, LAST = date(2025, 1, 1), date(2025, 1, 31)
SIXTH = date(2025, 1, 6)
START = 1_735_689_600_000_000
DAY = 86_400_000_000
A_DAY = 5  # trades


def lines(day: date, price: str = "10.5") -> list[str]:
    first = (day - FIRST).days * A_DAY
    return [
        f"{first + k + 1},{price},0.25,{first + k + 1},{first + k + 1},"
        f"{START + (day - FIRST).days * DAY + k * 3_600_000_000},True,True"
        for k in range(A_DAY)
    ]


class Archive:
    """A mirror of one instrument, whose files a test puts and takes."""

    def __init__(self, root: Path, instrument: Instrument, lake: Lake) -> None:
        self.mirror = Mirror(root)
        self.root = root
        self.series = Series.of(instrument)
        self.instrument = instrument
        self.lake = lake

    def put_day(self, day: date, price: str = "10.5") -> Path:
        return self._put(self.series.daily(day).path, lines(day, price))

    def put_month(self, *without: date, price: str = "10.5", changed: Sequence[date] = ()) -> Path:
        rows = [
            row
            for day in each_day(FIRST, LAST)
            if day not in without
            for row in lines(day, price if day in changed else "10.5")
        ]
        return self._put(self.series.monthly(FIRST).path, rows)

    def _put(self, path: object, rows: list[str]) -> Path:
        place = (self.root / str(path)).with_suffix(".csv")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("\n".join(rows) + "\n")
        return place

    def land(self, *days: date) -> dict[date, bool | DataError]:
        return dict(land_days(self.lake, self.mirror, self.instrument, sorted(days)))

    def parts(self, day: date) -> list:
        return self.lake.parts("raw_trades", instrument=str(self.instrument.id), date=day)

    def used(self, day: date) -> list:
        return parts_in_use(self.parts(day))

    def prices(self, day: date) -> set[float]:
        keys = {"instrument": str(self.instrument.id), "date": day}
        frames = {info.path: rows for info, rows in self.lake.read_parts("raw_trades", **keys)}
        ticks, findings = merge([frames[part.path] for part in self.used(day)], "agg_trade")
        assert findings.is_empty()
        assert ticks.height == A_DAY
        return set(ticks["price"].to_list())


@pytest.fixture
def archive(tmp_path: Path, agg: Instrument, lake: Lake) -> Archive:
    return Archive(tmp_path / "archive", agg, lake)


@pytest.fixture(params=[by_day.LARGE, 0], ids=["whole", "in blocks"])
def _reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(by_day, "LARGE", request.param)
    monkeypatch.setattr(by_day, "BLOCK", 1_000)
    return


@pytest.mark.usefixtures("_reading")
class TestLanding:
    def test_a_month_lands_by_its_days_and_vouches_for_those_without_trades(
        self, archive: Archive
    ) -> None:
        quiet = (FIRST, SIXTH, LAST)  # before a listing, an outage, after a delisting
        archive.put_month(*quiet)
        found = archive.land(*each_day(FIRST, LAST))
        assert found == dict.fromkeys(each_day(FIRST, LAST), True)
        for day in each_day(FIRST, LAST):
            (part,) = archive.parts(day)
            assert part.rows == (0 if day in quiet else A_DAY)
            assert part.inputs[ARCHIVE] == "XRPETH-aggTrades-2025-01.csv"
        rows = archive.lake.read("raw_trades", instrument=str(archive.instrument.id), date=SIXTH)
        assert rows.is_empty()
        again = archive.land(*each_day(FIRST, LAST))
        assert again == dict.fromkeys(each_day(FIRST, LAST), False)

    def test_some_days_of_a_month_land_by_themselves(self, archive: Archive) -> None:
        archive.put_month()
        assert archive.land(SIXTH, date(2025, 2, 1)) == {SIXTH: True}
        name = str(archive.instrument.id)
        assert archive.lake.days("raw_trades", instrument=name) == [SIXTH]
        assert archive.land(date(2025, 1, 5), SIXTH, LAST) == {
            date(2025, 1, 5): True, SIXTH: False, LAST: True,
        }  # fmt: skip

    def test_a_month_that_is_bad_anywhere_lands_nothing_and_its_days_say_why(
        self, archive: Archive
    ) -> None:
        path = archive.put_month()
        text = path.read_text().splitlines()
        path.write_text("\n".join([*text[:-1], text[-1].replace("10.5", "0")]))
        found = archive.land(*each_day(FIRST, SIXTH))
        assert {str(error) for error in found.values()} == {str(found[FIRST])}
        assert f"line {31 * A_DAY}: price" in str(found[FIRST])
        assert not (archive.lake.root / "raw_trades").exists()
        archive.put_day(SIXTH)  # a file of the day comes to its help
        assert archive.land(FIRST, SIXTH)[SIXTH] is True

    def test_a_month_of_another_month_is_refused(self, archive: Archive) -> None:
        path = archive.put_month()
        path.rename(path.with_name("XRPETH-aggTrades-2025-02.csv"))
        (error,) = archive.land(date(2025, 2, 3)).values()
        assert "named for 2025-02 and holds 2025-01-01 to 2025-01-31" in str(error)

    def test_a_month_by_hand_lands_the_days_from_its_first_to_its_last_row(
        self, archive: Archive, lake: Lake, agg: Instrument
    ) -> None:
        path = archive.put_month(FIRST, SIXTH, LAST)
        landing = land(lake, path, agg, "binance-aggtrades", since=date(2025, 1, 4))
        assert landing.rows == 28 * A_DAY
        assert landing.days == tuple(each_day(date(2025, 1, 4), date(2025, 1, 30)))
        assert landing.warnings == (
            "2 days before 2025-01-04 were left out: the calendar begins then",
        )
        assert [part.rows for part in archive.parts(SIXTH)] == [0]


class TestOneContent:
    """Whichever of the two files comes first, and whatever goes or comes back."""

    def settled(self, archive: Archive, day: date = SIXTH) -> None:
        """The mirror's file is the one that is in use, and is not due again."""
        before = [(part.path.name, part.inputs) for part in archive.parts(day)]
        assert archive.land(day) == {day: False}
        assert [(part.path.name, part.inputs) for part in archive.parts(day)] == before
        assert len(archive.used(day)) == 1

    @pytest.mark.parametrize("first", ["day", "month"])
    def test_the_same_rows_stay_one_part_with_one_hash(self, archive: Archive, first: str) -> None:
        steps = [archive.put_day, lambda _: archive.put_month()]
        files = [step(SIXTH) for step in (steps if first == "day" else reversed(steps))]
        # Only the first is there, then both, then only the second, then the first again.
        content = None
        for there in ([0], [0, 1], [1], [0]):
            for number, path in enumerate(files):
                away = path.with_name(f"{path.name}.away")
                if number in there and away.exists():
                    away.rename(path)
                elif number not in there and path.exists():
                    path.rename(away)
            archive.land(SIXTH)
            (part,) = archive.parts(SIXTH)
            content = content or (part.path, part.content_hash, part.inputs[ORDER])
            assert (part.path, part.content_hash, part.inputs[ORDER]) == content
            self.settled(archive)
        assert len(part.inputs[ALSO].split()) == 1

    def test_a_days_file_wins_over_its_month_and_gives_way_when_it_goes(
        self, archive: Archive
    ) -> None:
        archive.put_month()
        archive.land(SIXTH)
        own = archive.put_day(SIXTH, "12.5")
        assert archive.land(SIXTH) == {SIXTH: True}
        assert archive.prices(SIXTH) == {12.5}
        self.settled(archive)
        own.unlink()
        assert archive.land(SIXTH) == {SIXTH: True}
        assert archive.prices(SIXTH) == {10.5}
        self.settled(archive)

    def test_a_corrected_month_takes_the_place_of_the_days_that_it_corrects(
        self, archive: Archive
    ) -> None:
        archive.put_month()
        every = list(each_day(FIRST, LAST))
        archive.land(*every)
        archive.put_month(price="12.5", changed=[SIXTH])
        assert archive.land(*every) == dict.fromkeys(every, True)
        assert archive.prices(SIXTH) == {12.5}
        for day in every:
            assert len(archive.parts(day)) == (2 if day == SIXTH else 1)
            self.settled(archive, day)

    def test_a_month_by_hand_beside_the_archives_days_adds_nothing(
        self, archive: Archive, lake: Lake, agg: Instrument, tmp_path: Path
    ) -> None:
        archive.put_day(SIXTH)
        archive.land(SIXTH)
        hand = archive.put_month().rename(tmp_path / "hand.csv")
        land(lake, hand, agg, "binance-aggtrades")
        (part,) = archive.parts(SIXTH)
        assert archive.prices(SIXTH) == {10.5}
        self.settled(archive)
        land(lake, hand, agg, "binance-aggtrades", replace=True)  # there is nothing to replace
        assert archive.used(SIXTH) == archive.parts(SIXTH)
        assert archive.parts(SIXTH)[0].content_hash == part.content_hash

    def test_a_file_by_hand_that_contradicts_stays_beside_and_the_months_is_the_archives(
        self, archive: Archive, lake: Lake, agg: Instrument, tmp_path: Path
    ) -> None:
        """The archive goes back to what was landed by hand before its own."""
        hand = archive.put_day(SIXTH).rename(tmp_path / "hand.csv")
        land(lake, hand, agg, "binance-aggtrades")
        own = archive.put_day(SIXTH, "12.5")
        archive.land(SIXTH)
        assert len(archive.used(SIXTH)) == 2
        own.unlink()
        archive.put_month()
        assert archive.land(SIXTH) == {SIXTH: True}
        assert archive.prices(SIXTH) == {10.5}
        self.settled(archive)

    def test_the_word_that_a_day_is_absent_is_no_file_without_rows(
        self, archive: Archive, lake: Lake, agg: Instrument
    ) -> None:
        land_absent(lake, agg, SIXTH)
        archive.put_month(SIXTH)
        archive.land(SIXTH)
        assert len(archive.used(SIXTH)) == 2
        _, quality, _ = ticks_day(lake, agg, SIXTH)
        assert "absent" not in quality["kind"].to_list()
        assert archive.land(SIXTH) == {SIXTH: False}


class TestProvisional:
    """What stands in for the archive's file until it has come."""

    def put(self, archive: Archive, day: date, price: str, sha: str, **provenance: str) -> None:
        path = archive.root / "other.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines(day, price)))
        frame = binance.read_agg_trades(by_day.SourceFile.open(path)).frame
        path.unlink()
        write_part(archive.lake, archive.instrument, "trades", day, frame, sha * 64, provenance)

    def test_it_gives_way_to_the_archives_file(self, archive: Archive) -> None:
        self.put(archive, SIXTH, "9.5", "a", **{FETCHED: "rest"})
        self.put(archive, SIXTH, "8.5", "b", **{RECORDED: "stream"})
        assert len(archive.used(SIXTH)) == 2
        archive.put_day(SIXTH)
        archive.land(SIXTH)
        assert archive.prices(SIXTH) == {10.5}
        assert len(archive.used(SIXTH)) == 1
        assert archive.land(SIXTH) == {SIXTH: False}

    def test_what_the_archive_has_just_so_becomes_the_archives(self, archive: Archive) -> None:
        self.put(archive, SIXTH, "8.5", "b", **{RECORDED: "stream"})
        self.put(archive, SIXTH, "10.5", "a", **{FETCHED: "rest"})
        self.put(archive, SIXTH, "7.5", "c", **{RECORDED: "stream"})
        archive.put_day(SIXTH)
        archive.land(SIXTH)
        (part,) = archive.used(SIXTH)
        assert (part.name, ARCHIVE in part.inputs, FETCHED in part.inputs) == (
            "a" * 16, True, False,
        )  # fmt: skip
        assert archive.prices(SIXTH) == {10.5}
        assert archive.land(SIXTH) == {SIXTH: False}

    def test_what_says_the_same_as_the_archive_takes_nothing_from_it(
        self, archive: Archive
    ) -> None:
        archive.put_day(SIXTH)
        archive.land(SIXTH)
        self.put(archive, SIXTH, "10.5", "a", **{FETCHED: "rest"})
        (part,) = archive.parts(SIXTH)
        assert ARCHIVE in part.inputs
        assert FETCHED not in part.inputs
        assert need_not_land([part], part_name("a" * 64), archived=False)

    def test_a_repair_of_the_archives_file_stays_until_the_archive_has_another(
        self, archive: Archive
    ) -> None:
        archive.put_day(SIXTH)
        archive.land(SIXTH)
        self.put(archive, SIXTH, "10.7", "d", **{REPAIR: "rest"})
        assert len(archive.used(SIXTH)) == 2
        archive.put_month()  # says the same as the day
        archive.land(SIXTH)
        assert len(archive.used(SIXTH)) == 2
        archive.put_day(SIXTH, "12.5")
        archive.land(SIXTH)
        assert archive.prices(SIXTH) == {12.5}


def test_the_names_of_the_layout(agg: Instrument, bars_only: Instrument) -> None:
    series = Series.of(agg)
    assert str(series.daily(SIXTH).path) == (
        "data/spot/daily/aggTrades/XRPETH/XRPETH-aggTrades-2025-01-06.zip"
    )
    assert str(series.monthly(SIXTH).path) == (
        "data/spot/monthly/aggTrades/XRPETH/XRPETH-aggTrades-2025-01.zip"
    )
    assert series.monthly(SIXTH).days == list(each_day(FIRST, LAST))
    assert str(Series.of(bars_only).monthly(SIXTH).path) == (
        "data/spot/monthly/klines/BTCUSD/1m/BTCUSD-1m-2025-01.zip"
    )
    assert Series.funding(agg) is None
    assert month_of(date(2024, 2, 29)) == (date(2024, 2, 1), date(2024, 2, 29))
    assert month_of(date(2025, 12, 31)) == (date(2025, 12, 1), date(2025, 12, 31))
    for name, span in {
        "XRPETH-aggTrades-2025-01-06.zip": (SIXTH, SIXTH),
        "XRPETH-aggTrades-2025-01.csv.gz": (FIRST, LAST),
        "XRPETH-aggTrades-2025-13.zip": None,
        "XRPETH-aggTrades-2025-02-30.zip": None,
        "XRPETH-aggTrades-2025.zip": None,
        "XRPETH-aggTrades-2025-01-06.zip.CHECKSUM": None,
        ".XRPETH-aggTrades-2025-01-06.zip.part": None,
        "XRPETHX-aggTrades-2025-01-06.zip": None,
    }.items():
        assert series.named(name) == span


def test_a_usdm_instrument_has_its_files_and_its_funding_rates(agg: Instrument) -> None:
    perpetual = replace(agg, id=InstrumentId.parse("binance.usdm.BTC-USDT"))
    assert str(Series.of(perpetual).daily(SIXTH).path) == (
        "data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2025-01-06.zip"
    )
    funding = Series.funding(perpetual)
    assert funding is not None
    assert str(funding.monthly(SIXTH).path) == (
        "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2025-01.zip"
    )


def test_a_mirror_without_folders_has_nothing(tmp_path: Path, agg: Instrument) -> None:
    for root in (None, tmp_path / "nowhere"):
        assert Mirror(root).files(Series.of(agg)) == {}
        assert Mirror(root).days(agg, FIRST, LAST) == []


def test_days_of_a_mirror_are_those_of_its_days_and_months(archive: Archive) -> None:
    archive.put_month()
    february = date(2025, 2, 3)
    archive.put_day(february)
    archive.put_day(SIXTH)
    found = archive.mirror.days(archive.instrument, date(2025, 1, 30), february)
    assert found == [date(2025, 1, 30), LAST, february]
    files = archive.mirror.files(archive.series)
    assert not files[SIXTH].is_month
    assert files[SIXTH + timedelta(days=1)].is_month


@pytest.mark.shared_data
@pytest.mark.usefixtures("_reading")
def test_real_days_put_together_as_their_month_are_the_same_content(
    shared: Path, archive: Archive, agg: Instrument
) -> None:
    real = [date(2019, 10, 11), date(2019, 10, 12)]
    zips = [shared / "ticks/binance_aggtrades" / f"XRPETH-aggTrades-{day}.zip" for day in real]
    month = archive.root / archive.series.monthly(real[0]).path
    month.parent.mkdir(parents=True)
    with zipfile.ZipFile(month, "w", zipfile.ZIP_DEFLATED) as packed:
        text = b"".join(SourceFile.open(path).text + b"\n" for path in zips)
        packed.writestr("XRPETH-aggTrades-2019-10.csv", text)
    assert archive.land(*real) == dict.fromkeys(real, True)
    contents = [archive.parts(day)[0].content_hash for day in real]
    assert [archive.parts(day)[0].rows for day in real] == [
        SourceFile.open(path).text.count(b"\n") + 1 for path in zips
    ]
    for path in zips:
        (archive.root / path.name).write_bytes(path.read_bytes())
    assert archive.land(*real) == dict.fromkeys(real, True)
    for day, content in zip(real, contents, strict=True):
        (part,) = archive.parts(day)
        assert part.content_hash == content
        assert ALSO in part.inputs


def test_no_reader_asks_again_for_what_came_from_no_file(lake: Lake, agg: Instrument) -> None:
    keys = {"instrument": str(agg.id), "date": SIXTH}
    for name, provenance in (("a", {FETCHED: "rest"}), ("b", {RECORDED: "x"}), ("c", {})):
        lake.write(
            "raw_trades", table("raw_trades").empty(), code_version="older", part=name * 16,
            inputs={ORDER: "0", **provenance}, **keys,
        )  # fmt: skip
    (old,) = read_otherwise(lake.parts("raw_trades", **keys))
    assert old.name == "c" * 16
