"""Landed rows that are the day's ticks stand in the lake once, and are never lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from vostok_core.errors import MissingPartition
from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME
from vostok_core.market.days import ARCHIVE, LANDING_VERSION, ORDER
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.merging import merge_day
from vostok_core.times import MINUTE, day_start

DAY = date(2024, 3, 1)
OF = Instrument(
    InstrumentId.parse("demo.spot.A-B"),
    "trade",
    Decimal("0.01"),
    Decimal("0.001"),
    Decimal(0),
    60 * MINUTE,
)
KEYS = {"instrument": str(OF.id), "date": DAY}


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


def landed(lake: Lake, part: str, frame: pl.DataFrame, order: int, **marks: str) -> None:
    inputs = {ORDER: str(order), **marks}
    lake.write("raw_trades", frame, code_version=LANDING_VERSION, inputs=inputs, part=part, **KEYS)


def part(lake: Lake, name: str) -> PartitionInfo:
    return {each.name: each for each in lake.parts("raw_trades", **KEYS)}[name]


def rows_in(lake: Lake, name: str) -> int:
    return pl.read_parquet(part(lake, name).path, hive_partitioning=False).height


def test_a_file_that_is_in_order_is_kept_once(lake: Lake) -> None:
    landed(lake, "a", trades([1, 2, 3]), 0)
    before = part(lake, "a")

    info, _, _ = merge_day(lake, OF, DAY)

    after = part(lake, "a")
    assert (after.kept_in, rows_in(lake, "a")) == ("ticks", 0)
    assert (after.rows, after.content_hash, after.inputs) == (3, info.content_hash, before.inputs)
    again, _, _ = merge_day(lake, OF, DAY)
    assert (again.content_hash, again.inputs) == (info.content_hash, info.inputs)


@pytest.mark.parametrize("ids", [[2, 1, 3], [1, 1, 2]], ids=["disorder", "twice"])
def test_a_file_that_was_mended_keeps_its_rows(lake: Lake, ids: list[int]) -> None:
    landed(lake, "a", trades(ids), 0)
    merge_day(lake, OF, DAY)
    assert (part(lake, "a").kept_in, rows_in(lake, "a")) == (None, 3)


def test_another_file_gives_the_first_its_rows_back(lake: Lake) -> None:
    landed(lake, "a", trades([1, 2, 3]), 0)
    merge_day(lake, OF, DAY)
    landed(lake, "b", trades([3, 4, 5]), 1)

    merge_day(lake, OF, DAY)

    assert lake.read("ticks", **KEYS)["trade_id"].to_list() == [1, 2, 3, 4, 5]
    assert [rows_in(lake, name) for name in "ab"] == [3, 3]
    other = Lake.open(lake.root.parent / "other")
    landed(other, "a", trades([1, 2, 3]), 0)
    landed(other, "b", trades([3, 4, 5]), 1)
    merge_day(other, OF, DAY)
    for name in ("ticks", "quality"):
        here, there = lake.info(name, **KEYS), other.info(name, **KEYS)
        assert (here.content_hash, here.inputs) == (there.content_hash, there.inputs)


def test_a_part_that_goes_out_of_use_gets_its_rows_back(lake: Lake) -> None:
    landed(lake, "a", trades([1, 2, 3]), 0, **{ARCHIVE: "a.zip"})
    merge_day(lake, OF, DAY)
    landed(lake, "b", trades([1, 2, 3], price=20.0), 1, **{ARCHIVE: "b.zip"})
    merge_day(lake, OF, DAY)
    assert lake.read("ticks", **KEYS)["price"].to_list() == [21.0, 22.0, 23.0]
    assert (part(lake, "a").kept_in, part(lake, "b").kept_in) == (None, "ticks")
    assert lake.read_part("raw_trades", "a", **KEYS)["price"].to_list() == [11.0, 12.0, 13.0]


def test_whoever_removes_the_ticks_is_told_to_land_the_file_again(lake: Lake) -> None:
    landed(lake, "a", trades([1, 2, 3]), 0)
    merge_day(lake, OF, DAY)
    lake.info("ticks", **KEYS).path.unlink()
    with pytest.raises(MissingPartition, match="ingest the file again"):
        merge_day(lake, OF, DAY)
    landed(lake, "a", trades([1, 2, 3]), 0)
    assert merge_day(lake, OF, DAY)[0].rows == 3


class Killed(BaseException):
    """Stands for a process that ends between two writes."""


@pytest.mark.parametrize("writes", range(5))
def test_no_row_is_lost_wherever_the_writer_is_killed(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Merging again after a kill before any of its writes gives what was never killed."""
    from vostok_core.lake import objects

    landed(lake, "a", trades([1, 2, 3]), 0)
    merge_day(lake, OF, DAY)
    landed(lake, "b", trades([3, 4, 5]), 1)
    left = [writes]

    def failing(install: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        def installs(temporary: Path, path: Path) -> None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            install(temporary, path)

        return installs

    with monkeypatch.context() as patch:
        for name in ("install", "install_new"):
            patch.setattr(objects, name, failing(getattr(objects, name)))
        with contextlib.suppress(Killed):
            merge_day(lake, OF, DAY)
    merge_day(lake, OF, DAY)
    assert lake.read("ticks", **KEYS)["trade_id"].to_list() == [1, 2, 3, 4, 5]
    assert lake.read_part("raw_trades", "a", **KEYS)["trade_id"].to_list() == [1, 2, 3]
