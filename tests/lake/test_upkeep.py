"""What a lake takes, and files written anew in the present encoding."""

from __future__ import annotations

import json
import os
import time
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from tests.lake.rows import ITEM, as_written, ticks
from vostok_core.hashing import hash_frame
from vostok_core.lake.encoding import encoding, is_older
from vostok_core.lake.parquet import PartitionInfo, read_footer
from vostok_core.lake.store import Lake
from vostok_core.lake.upkeep import Usage, compact, leftovers, usage
from vostok_core.lake.verify import verify

DAY = date(2024, 3, 1)
OTHER = "other.spot.A-B"


def write_old(lake: Lake, frame: pl.DataFrame, **keys: object) -> PartitionInfo:
    """A partition of `ticks` as an older version wrote it: another encoding, no seal."""
    info = lake.write("ticks", frame, code_version="4", inputs={"a": "b"}, **keys)
    footer = {
        "rows": frame.height,
        "content_hash": hash_frame(frame),
        "code_version": "4",
        "inputs": {"a": "b"},
    }
    frame.write_parquet(info.path, metadata={"vostok": json.dumps(footer)})
    old = lake.info("ticks", **keys)
    assert is_older(old.encoding)
    return old


def test_usage_is_told_by_the_first_key(lake: Lake) -> None:
    for day in (DAY, date(2024, 3, 4)):
        lake.write("ticks", ticks(100), code_version="1", instrument=ITEM, date=day)
    raw = lake.write("raw_trades", ticks(7), code_version="1", instrument=ITEM, date=DAY)
    lake.write("ticks", ticks(7), code_version="1", instrument=OTHER, date=DAY)
    lake.stub("raw_trades", raw, "ticks")

    here, there = usage(lake, "ticks", count_rows=True)
    (stub,) = usage(lake, "raw_trades", count_rows=True)

    folders = {name: lake.root / "ticks" / f"instrument={name}" for name in (ITEM, OTHER)}
    sizes = {
        name: sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        for name, folder in folders.items()
    }
    assert here == Usage("ticks", ITEM, 2, sizes[ITEM], 2, "2024-03-01", "2024-03-04", 200)
    assert there == Usage("ticks", OTHER, 1, sizes[OTHER], 1, "2024-03-01", "2024-03-01", 7)
    assert (stub.files, stub.rows) == (1, 0), "the rows of a stub stand elsewhere"
    assert [each.rows for each in usage(lake, "ticks")] == [None, None]
    assert usage(lake, "bars") == []


def test_an_older_file_is_written_anew_and_means_the_same(lake: Lake) -> None:
    keys = {"instrument": ITEM, "date": DAY}
    frame = ticks(500)  # without the column that came later
    old = write_old(lake, frame, **keys)
    before = lake.read("ticks", **keys)

    (done,) = compact(lake, "ticks")

    new = lake.info("ticks", **keys)
    assert (done.path, done.before, done.after) == (old.path, old.size, new.size)
    assert new.size < old.size
    assert new.encoding == encoding()
    assert new == PartitionInfo(
        old.path, 500, old.content_hash, "4", {"a": "b"}, new.size, new.tag, new.encoding,
        new.columns,
    )  # fmt: skip
    assert lake.read("ticks", **keys).equals(before)
    assert hash_frame(pl.read_parquet(new.path, hive_partitioning=False)) == old.content_hash
    assert [each.damage for each in verify(lake, "ticks")] == [None]
    assert list(compact(lake, "ticks")) == []


def test_files_of_the_present_encoding_are_left_alone(lake: Lake) -> None:
    info = lake.write("ticks", ticks(5), code_version="1", instrument=ITEM, date=DAY)
    seen = []
    assert list(compact(lake, "ticks", lambda: seen.append(1))) == []
    assert len(seen) == 1
    assert lake.info("ticks", instrument=ITEM, date=DAY).tag == info.tag


def test_a_damaged_file_is_not_made_to_look_whole(lake: Lake) -> None:
    keys = {"instrument": ITEM, "date": DAY}
    old = write_old(lake, ticks(500), **keys)
    footer = pl.read_parquet_metadata(old.path)["vostok"]
    ticks(500, price=11.0).write_parquet(old.path, metadata={"vostok": footer})
    cut = lake.write("ticks", ticks(500), code_version="1", instrument=OTHER, date=DAY)
    cut.path.write_bytes(cut.path.read_bytes()[:-9])
    content = old.path.read_bytes()

    found = {done.path: done.problem for done in compact(lake, "ticks")}

    assert "doesn't match the hash" in (found[old.path] or "")
    assert "footer" in (found[cut.path] or "")
    assert old.path.read_bytes() == content


def test_who_writes_meanwhile_wins(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"instrument": ITEM, "date": DAY}
    write_old(lake, ticks(50), **keys)
    put_if = type(lake.objects).put_if

    def overtaken(objects, key, content, tag):
        monkeypatch.undo()
        lake.write("ticks", ticks(60), code_version="5", **keys)
        return put_if(objects, key, content, tag)

    monkeypatch.setattr(type(lake.objects), "put_if", overtaken)
    assert list(compact(lake, "ticks")) == []
    assert lake.read("ticks", **keys).equals(as_written(ticks(60)))


def test_an_older_lake_in_an_object_store_is_compacted_too(s3_address: str) -> None:
    lake = Lake.open(s3_address)
    keys = {"instrument": ITEM, "date": DAY}
    info = lake.write("ticks", ticks(50), code_version="4", **keys)
    old = {"rows": 50, "content_hash": info.content_hash, "code_version": "4", "inputs": {}}
    import io

    buffer = io.BytesIO()
    as_written(ticks(50)).write_parquet(buffer, metadata={"vostok": json.dumps(old)})
    lake.objects.put(lake.name_of(info), buffer.getvalue())

    (done,) = compact(lake, "ticks")

    assert done.problem is None
    found = read_footer(lake.objects, lake.name_of(info))
    assert found is not None
    assert (found.encoding, found.content_hash) == (encoding(), info.content_hash)
    assert usage(lake, "ticks")[0].size == done.after


def test_only_old_temporary_files_are_left_over(lake: Lake) -> None:
    root = lake.root
    assert isinstance(root, Path)
    for name, age in (("new", 60), ("old", 7200)):
        path = root / "ticks" / f".part-0.parquet.{name}.tmp"
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
        os.utime(path, (time.time() - age,) * 2)
    assert [path.name for path in leftovers(root, time.time())] == [".part-0.parquet.old.tmp"]
