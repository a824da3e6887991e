"""Damage in a lake is found wherever it is, and sound files are not accused."""

from __future__ import annotations

import random
from datetime import date

import polars as pl
import pytest

from tests.lake.rows import ITEM, ticks
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TABLES
from vostok_core.lake.verify import Looked, verify

DAY = date(2024, 3, 1)


def looked_at(lake: Lake, name: str = "ticks") -> list[Looked]:
    return list(verify(lake, name))


def test_a_sound_lake_has_no_damage(lake: Lake) -> None:
    for number in range(3):
        day = date(2024, 3, 1 + number)
        lake.write("ticks", ticks(100), code_version="1", instrument=ITEM, date=day)
    lake.write("ticks", ticks().clear(), code_version="1", instrument="other.spot.A-B", date=DAY)

    found = [each for name in TABLES for each in looked_at(lake, name)]

    assert [each.damage for each in found] == [None] * 4
    assert sum(each.size for each in found) == sum(
        path.stat().st_size for path in lake.root.rglob("*.parquet")
    )


def test_a_flipped_bit_is_found_wherever_it_is(lake: Lake) -> None:
    info = lake.write("ticks", ticks(300), code_version="1", instrument=ITEM, date=DAY)
    content = info.path.read_bytes()
    chance = random.Random(11)
    places = {0, 3, len(content) - 1, len(content) - 5}
    places |= set(chance.sample(range(len(content)), 200))
    for place in sorted(places):
        broken = bytearray(content)
        broken[place] ^= 1 << chance.randrange(8)
        info.path.write_bytes(broken)
        (found,) = looked_at(lake)
        assert found.damage, f"byte {place} of {len(content)}"
        assert found.hint is not None
        assert "vostok materialize ticks --instrument" in found.hint
    info.path.write_bytes(content)
    assert looked_at(lake)[0].damage is None


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_file_that_was_cut_off_is_found(lake: Lake, keep: int) -> None:
    info = lake.write("ticks", ticks(300), code_version="1", instrument=ITEM, date=DAY)
    info.path.write_bytes(info.path.read_bytes()[:keep])
    assert looked_at(lake)[0].damage


def test_a_file_of_an_older_writer_is_judged_by_its_content(lake: Lake) -> None:
    """As Polars wrote them, without a seal: by content hash alone."""
    info = lake.write("ticks", ticks(300), code_version="1", instrument=ITEM, date=DAY)
    old = ticks(300)
    footer = '{"rows": 300, "content_hash": "%s", "code_version": "1", "inputs": {}}'
    from vostok_core.hashing import hash_frame

    old.write_parquet(info.path, metadata={"vostok": footer % hash_frame(old)})
    assert looked_at(lake)[0].damage is None
    old.with_columns(pl.col("qty") * 2).write_parquet(
        info.path, metadata={"vostok": footer % hash_frame(old)}
    )
    assert "doesn't match the hash" in (looked_at(lake)[0].damage or "")


def test_a_stub_stands_on_the_rows_of_another_table(lake: Lake) -> None:
    raw = lake.write("raw_trades", ticks(5), code_version="1", instrument=ITEM, date=DAY)
    lake.write("ticks", ticks(5), code_version="1", instrument=ITEM, date=DAY)
    lake.stub("raw_trades", raw, "ticks")
    assert looked_at(lake, "raw_trades")[0].damage is None
    lake.write("ticks", ticks(4), code_version="1", instrument=ITEM, date=DAY)
    assert "holds others" in (looked_at(lake, "raw_trades")[0].damage or "")
