"""A lake is made smaller without losing what something is made from."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from vostok_core.errors import SettingsError
from vostok_core.lake.parquet import NOWHERE, PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME, table
from vostok_core.lake.verify import verify
from vostok_core.market.days import ARCHIVE, LANDING_VERSION, ORDER, REPLACES
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.kept_once import has_rows
from vostok_core.market.merging import merge_day
from vostok_core.market.parts import is_landed
from vostok_core.project import Project, find_project
from vostok_core.settings import PERISHABLE
from vostok_core.times import MINUTE, day_start
from vostok_pipelines.fetching.rest import rest_folder
from vostok_pipelines.upkeep import Garbage, compact_table, find_garbage

DAY = date(2024, 3, 1)
NAME = "demo.spot.A-B"
OF = Instrument(
    InstrumentId.parse(NAME), "trade", Decimal("0.01"), Decimal("0.001"), Decimal(0), 60 * MINUTE
)
KEYS = {"instrument": NAME, "date": DAY}


def trades(ids: list[int], price: float = 10.0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "trade_id": pl.Series(ids, dtype=pl.Int64),
            "ts": pl.Series([day_start(DAY) + i * MINUTE for i in ids], dtype=pl.Int64).cast(TIME),
            "price": [price + i for i in ids],
            "qty": [1.0] * len(ids),
            "buyer_maker": [False] * len(ids),
            "first_id": pl.Series([None] * len(ids), dtype=pl.Int64),
            "last_id": pl.Series([None] * len(ids), dtype=pl.Int64),
        }
    )


def land(lake: Lake, part: str, frame: pl.DataFrame, order: int, **marks: str) -> None:
    inputs = {ORDER: str(order), **marks}
    lake.write("raw_trades", frame, code_version=LANDING_VERSION, inputs=inputs, part=part, **KEYS)


def part(lake: Lake, name: str) -> PartitionInfo:
    return {each.name: each for each in lake.parts("raw_trades", **KEYS)}[name]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "vostok.toml").write_text('[retention.tables]\nta_catalogue = "90d"\n')
    return find_project(tmp_path, {})


@pytest.fixture
def lake(project: Project) -> Lake:
    return project.open_lake()


def found(project: Project, lake: Lake, days: float) -> list[Garbage]:
    return list(find_garbage(project, lake, datetime.now(UTC) + timedelta(days=days)))


def test_rows_that_stand_twice_are_kept_once(lake: Lake) -> None:
    land(lake, "a", trades([1, 2, 3]), 0)
    merge_day(lake, OF, DAY)
    land(lake, "a", trades([1, 2, 3]), 0)  # as an older version left it
    before = part(lake, "a")
    assert before.kept_in is None

    (done,) = compact_table(lake, "raw_trades")

    after = part(lake, "a")
    assert (after.kept_in, done.before, done.after) == ("ticks", before.size, after.size)
    assert list(compact_table(lake, "raw_trades")) == []
    assert all(each.damage is None for each in verify(lake, "raw_trades"))


def test_rows_are_not_given_up_for_ticks_that_are_damaged(lake: Lake) -> None:
    land(lake, "a", trades([1, 2, 3]), 0)
    info, _, _ = merge_day(lake, OF, DAY)
    land(lake, "a", trades([1, 2, 3]), 0)
    footer = pl.read_parquet_metadata(info.path)["vostok"]
    lake.read("ticks", **KEYS).with_columns(pl.col("qty") * 2).write_parquet(
        info.path, metadata={"vostok": footer}
    )

    problems = [done.problem for done in compact_table(lake, "raw_trades")]

    assert len(problems) == 1
    assert problems[0]
    assert part(lake, "a").kept_in is None
    assert lake.read_part("raw_trades", "a", **KEYS).height == 3


def test_replaced_rows_go_when_they_are_old_and_stay_known(project: Project, lake: Lake) -> None:
    land(lake, "a", trades([1, 2, 3]), 0, **{ARCHIVE: "a.zip"})
    land(lake, "b", trades([1, 2, 3], price=20.0), 1, **{REPLACES: "all"})
    info, _, _ = merge_day(lake, OF, DAY)

    assert found(project, lake, days=29) == []
    (garbage,) = found(project, lake, days=31)
    assert (garbage.kind, garbage.size) == ("replaced", part(lake, "a").size)
    garbage.remove()

    gone = part(lake, "a")
    assert (gone.kept_in, gone.rows) == (NOWHERE, 3)
    assert not has_rows(lake, gone, KEYS)
    assert is_landed(lake.parts("raw_trades", **KEYS), "a"), "the archive's file is not landed anew"
    assert merge_day(lake, OF, DAY)[0].content_hash == info.content_hash
    assert all(
        each.damage is None for name in ("raw_trades", "ticks") for each in verify(lake, name)
    )
    assert found(project, lake, days=31) == []
    land(lake, "a", trades([1, 2, 3]), 2, **{REPLACES: "all"})
    assert merge_day(lake, OF, DAY)[0].rows == 3


def test_rows_in_use_never_go(project: Project, lake: Lake) -> None:
    land(lake, "a", trades([1, 3]), 0)
    land(lake, "b", trades([2]), 1)
    merge_day(lake, OF, DAY)
    assert found(project, lake, days=4_000) == []


def test_a_part_that_lands_again_meanwhile_keeps_its_rows(project: Project, lake: Lake) -> None:
    land(lake, "a", trades([1, 2, 3]), 0)
    land(lake, "b", trades([1, 2]), 1, **{REPLACES: "all"})
    (garbage,) = found(project, lake, days=31)
    land(lake, "a", trades([1, 2, 3]), 2, **{REPLACES: "all"})
    garbage.remove()
    assert lake.read_part("raw_trades", "a", **KEYS).height == 3


def test_only_tables_that_nothing_is_made_from_have_an_age(project: Project, lake: Lake) -> None:
    for name in PERISHABLE:
        assert table(name).keys[-1] == "date"
    frame = table("ta_catalogue").empty()
    for day in (DAY, DAY + timedelta(days=1)):
        lake.write(
            "ta_catalogue", frame, code_version="1", instrument=NAME, interval="1m", date=day
        )
    now = datetime(2024, 5, 31, tzinfo=UTC)  # 91 and 90 days later
    (garbage,) = find_garbage(project, lake, now)
    assert garbage.kind == "expired"
    garbage.remove()
    garbage.remove()
    assert lake.days("ta_catalogue", instrument=NAME, interval="1m") == [DAY + timedelta(days=1)]


@pytest.mark.parametrize(
    ("ages", "told"),
    [
        ('ticks = "90d"', "something is made from it"),
        ('quotes = "90d"', "made again from raw_quotes"),
        ('depth = "90d"\nraw_depth = "91d"', "made again from raw_depth"),
        ('raw_depth = "90"', "not a duration"),
    ],
)
def test_an_age_that_would_lose_or_make_again_is_refused(
    project: Project, ages: str, told: str
) -> None:
    (project.root / "vostok.toml").write_text(f"[retention.tables]\n{ages}\n")
    with pytest.raises(SettingsError, match=told):
        _ = find_project(project.root, {}).settings


def test_downloads_that_nobody_went_on_with_go(project: Project, lake: Lake) -> None:
    folder = lake.root / "archive" / "binance" / "data"
    folder.mkdir(parents=True)
    chunks = rest_folder(project) / NAME
    for name, days in (("old", 8), ("new", 6)):
        download = folder / f".{name}.zip.part"
        download.write_bytes(b"x" * 10)
        (folder / f"{download.name}.json").write_text("{}")
        day = chunks / f"{name}.part"
        day.mkdir(parents=True)
        (day / "000000.parquet").write_bytes(b"x" * 5)
        for path in (download, day / "000000.parquet", day):
            os.utime(path, (time.time() - days * 86_400,) * 2)

    garbage = found(project, lake, days=0)

    assert [(each.kind, Path(each.what).name, each.size) for each in garbage] == [
        ("unfinished", ".old.zip.part", 12),
        ("unfinished", "old.part", 5),
    ]
    for each in garbage:
        each.remove()
    assert sorted(path.name for path in folder.iterdir()) == [".new.zip.part", ".new.zip.part.json"]
    assert [path.name for path in chunks.iterdir()] == ["new.part"]
