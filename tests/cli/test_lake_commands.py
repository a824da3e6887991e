"""Looking after a lake, from the command line."""

from __future__ import annotations

import json
import os
import time
from datetime import date
from pathlib import Path

import pytest

from tests.lake.rows import ITEM, ticks
from tests.lake.test_upkeep import write_old
from vostok_core.lake.store import Lake

DAY = date(2024, 3, 1)


@pytest.fixture
def lake(folder: Path) -> Lake:
    """A lake with two days of ticks of an instrument; one file is of an older version."""
    lake = Lake.open(folder / "data_lake")
    write_old(lake, ticks(5_000), instrument=ITEM, date=DAY)
    lake.write("ticks", ticks(40), code_version="1", instrument=ITEM, date=date(2024, 3, 2))
    return lake


def test_du_tells_what_each_table_takes(vostok, lake: Lake) -> None:
    (folder := lake.root / "models").mkdir()
    (folder / "m").write_bytes(b"x" * 1_500)
    size = sum(path.stat().st_size for path in (lake.root / "ticks").rglob("*.parquet"))
    told = json.loads(vostok("lake", "du", "--rows", "--json").stdout)
    assert told["tables"] == [
        {
            "table": "ticks", "key": ITEM, "files": 2, "bytes": size, "days": 2,
            "first": "2024-03-01", "last": "2024-03-02", "rows": 5_040,
        }
    ]  # fmt: skip
    assert told["beside"][str(folder)] == 1_500
    lines = vostok("lake", "du", "--rows").stdout.splitlines()
    assert lines[0].split() == ["table", "files", "size", "rows", "bytes/row", "first", "last"]
    assert lines[1].split()[:2] == ["ticks", "2"]
    assert lines[1].split()[4:] == ["5,040", f"{size / 5_040:.1f}", "2024-03-01", "2024-03-02"]
    assert lines[2].split()[:2] == ["total", "2"]
    assert "1.5 kB" in lines[-1]
    assert ITEM in vostok("lake", "du", "ticks", "--by-key").stdout
    assert vostok("lake", "du", "bars").stdout.splitlines()[-1].split() == ["total", "0", "0", "B"]


def test_verify_names_what_is_damaged(vostok, lake: Lake) -> None:
    result = vostok("lake", "verify")
    assert result.exit_code == 0
    assert "2 files" in result.stdout
    assert "all whole" in result.stdout
    path = lake.info("ticks", instrument=ITEM, date=date(2024, 3, 2)).path
    assert isinstance(path, Path)
    content = bytearray(path.read_bytes())
    content[40] ^= 4
    path.write_bytes(content)

    result = vostok("lake", "verify", "ticks")
    told = json.loads((as_json := vostok("lake", "verify", "--json")).stdout)

    assert (result.exit_code, as_json.exit_code) == (1, 1)
    assert f"Damaged: {path}" in result.stderr
    assert "Hint: delete the file, and run `vostok materialize ticks" in result.stderr
    assert "1 of them damaged" in result.stdout
    assert told["files"] == 2
    assert [each["path"] for each in told["damaged"]] == [str(path)]


def test_compact_rewrites_older_files_once(vostok, lake: Lake) -> None:
    before = lake.info("ticks", instrument=ITEM, date=DAY)
    told = json.loads(vostok("lake", "compact", "--json").stdout)
    after = lake.info("ticks", instrument=ITEM, date=DAY)
    assert told == {
        "rewritten": [
            {"table": "ticks", "files": 1, "before": before.size, "after": after.size}
        ],
        "problems": [],
    }  # fmt: skip
    assert vostok("lake", "compact").stdout.startswith("every file is in the present encoding")
    counted = vostok("sql", "SELECT count(*) AS n FROM ticks", "--format", "json").stdout
    assert json.loads(counted) == [{"n": 5_040}]


def test_compact_leaves_what_is_damaged(vostok, lake: Lake) -> None:
    path = lake.info("ticks", instrument=ITEM, date=DAY).path
    assert isinstance(path, Path)
    path.write_bytes(path.read_bytes()[:-100])
    result = vostok("lake", "compact")
    assert result.exit_code == 1
    assert f"Left as it was: {path}" in result.stderr


def test_gc_removes_what_it_lists(vostok, lake: Lake) -> None:
    path = lake.root / "ticks" / ".part-0.parquet.abc.tmp"
    path.write_bytes(b"x" * 2_000)
    os.utime(path, (time.time() - 7_200,) * 2)
    listed = vostok("lake", "gc", "--dry-run").stdout
    assert str(path) in listed
    assert "would remove temporary files of killed writers: 1, 2.0 kB" in listed
    assert path.exists()
    told = json.loads(vostok("lake", "gc", "--json").stdout)
    assert told == {
        "removed": True,
        "found": [{"kind": "temporary", "what": str(path), "bytes": 2_000}],
    }
    assert not path.exists()
    assert vostok("lake", "gc").stdout == "nothing is there that could go\n"


def test_an_unknown_table_is_wrong_usage(vostok, lake: Lake) -> None:
    del lake
    result = vostok("lake", "du", "tick")
    assert result.exit_code == 2
    assert "did you mean ticks?" in result.stderr
