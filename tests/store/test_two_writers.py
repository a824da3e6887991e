"""Two writers of one lake: whoever is outdated is told, and nothing is undone; in both places."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import date
from pathlib import Path

import pytest

from tests.lake.rows import ITEM, as_written, ticks
from tests.lake.test_store import DAY
from tests.models.test_writers_take_turns import FIRST, PLACE, ROUNDS, two_at_once
from vostok_core.errors import Conflict, MissingPartition
from vostok_core.lake.objects import UNWRITTEN
from vostok_core.lake.store import Lake
from vostok_core.models.registry import promotion

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"instrument": ITEM, "date": DAY}


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a lake can be made."""
    return (
        str(tmp_path / "lake")
        if request.param == "folder"
        else request.getfixturevalue("s3_address")
    )


@pytest.fixture
def lake(place: str, tmp_path: Path) -> Lake:
    """An empty lake there."""
    return Lake.open(place, home=tmp_path / "home")


def test_a_lake_is_there_once_it_was_made(place: str, tmp_path: Path) -> None:
    from vostok_core.errors import UsageError

    with pytest.raises(UsageError, match="holds no lake"):
        Lake.open(place, create=False)
    Lake.open(place)
    assert str(Lake.open(place, create=False).root) == place


def test_a_partition_comes_back_with_its_footer(lake: Lake) -> None:
    assert not lake.exists("ticks", **KEYS)
    with pytest.raises(MissingPartition, match="vostok materialize ticks"):
        lake.read("ticks", **KEYS)
    info = lake.write("ticks", ticks(), code_version="7", inputs={"raw": "ab"}, **KEYS)
    assert lake.exists("ticks", **KEYS)
    assert lake.info("ticks", **KEYS) == info
    assert lake.load("ticks", **KEYS)[0] == info
    assert lake.read("ticks", **KEYS).equals(as_written(ticks()))
    assert lake.read("ticks", columns=["qty"], **KEYS).columns == ["qty"]
    assert (info.path.name, info.path.stem) == ("part-0.parquet", "part-0")
    assert str(info.path) == f"{lake.root}/{lake.name_of(info)}"
    assert lake.days("ticks", instrument=ITEM) == [DAY]
    assert lake.keys("ticks") == [ITEM]
    for part in ("b", "a"):
        lake.write("raw_trades", ticks(), code_version="1", part=part, **KEYS)
    assert [each.path.stem for each in lake.parts("raw_trades", **KEYS)] == ["part-a", "part-b"]
    assert lake.read("raw_trades", **KEYS).height == 8


def test_the_writer_that_began_before_the_other_finished_is_told(lake: Lake) -> None:
    outdated = lake.seen("ticks", **KEYS)
    assert outdated == UNWRITTEN
    other = lake.write("ticks", ticks(2), code_version="1", over=outdated, **KEYS)
    with pytest.raises(Conflict, match="run it again") as caught:
        lake.write("ticks", ticks(9), code_version="1", over=outdated, **KEYS)
    assert caught.value.where == str(other.path)
    assert lake.info("ticks", **KEYS) == other
    again = lake.seen("ticks", **KEYS)
    assert again == other.tag
    assert lake.write("ticks", ticks(9), code_version="1", over=again, **KEYS).rows == 9
    with pytest.raises(Conflict):
        lake.write("ticks", ticks(3), code_version="1", over=again, **KEYS)
    assert lake.read("ticks", **KEYS).height == 9


def test_two_that_made_the_same_are_not_at_odds(lake: Lake) -> None:
    seen = lake.seen("ticks", **KEYS)
    first, second = (
        lake.write("ticks", ticks(), code_version="1", inputs={"a": "b"}, over=seen, **KEYS)
        for _ in range(2)
    )
    assert first == second
    with pytest.raises(Conflict):
        lake.write("ticks", ticks(), code_version="1", inputs={"a": "c"}, over=seen, **KEYS)


def test_days_are_seen_by_one_look(lake: Lake) -> None:
    days = [date(2024, 3, number) for number in range(1, 6)]
    for day in days[:-1]:
        lake.write("ticks", ticks(), code_version="1", instrument=ITEM, date=day)
    seen = lake.seen_by_date("ticks", instrument=ITEM)
    assert [seen[day] for day in days] == [
        lake.seen("ticks", instrument=ITEM, date=day) for day in days
    ]
    assert seen[days[-1]] == UNWRITTEN


def test_of_two_promotions_at_once_the_later_weeks_stays(lake: Lake, tmp_path: Path) -> None:
    turns = 15
    script = f"""
        import sys
        from datetime import date, timedelta
        from pathlib import Path
        from vostok_core.lake.store import Lake
        from vostok_core.models.registry import Promotion, promotion, put_in_service
        lake, mine = Lake.open(sys.argv[1], home=Path(sys.argv[2])), int(sys.argv[3])
        place, sha = {PLACE!r}, str(mine) * 64
        print("ready", flush=True)
        sys.stdin.readline()
        for turn in range({turns}):
            week = str(date({FIRST.year}, 1, 1) + timedelta(weeks=2 * turn + mine))
            put_in_service(lake, Promotion(*place, week, "models/bundles/" + sha, sha), at=turn)
            found = promotion(lake, *place).week
            assert found >= week, f"{{week}} was put in service, and then {{found}}"
    """
    assert two_at_once(script, str(lake.root), str(tmp_path / "home")) == ["", ""]
    assert promotion(lake, *PLACE).week > str(FIRST)


def test_news_kept_at_once_from_two_machines_all_stay(lake: Lake, tmp_path: Path) -> None:
    turns = ROUNDS // 6
    script = f"""
        import sys
        from pathlib import Path
        from vostok_core.lake.store import Lake
        from vostok_core.sentiment.days import write_news
        from vostok_core.sentiment.items import RawItem, news_batch
        mine, noon = sys.argv[3], 43_200_000_000
        lake = Lake.open(sys.argv[1], home=Path(sys.argv[2]) / mine)  # machines of their own
        print("ready", flush=True)
        sys.stdin.readline()
        for turn in range({turns}):
            entry = RawItem(f"{{mine}} {{turn}}", "", "", f"{{mine}} {{turn}}", noon)
            write_news(lake, news_batch([entry], "wire", lag_us=0), [], noon + turn, 0)
    """
    assert two_at_once(script, str(lake.root), str(tmp_path / "homes")) == ["", ""]
    assert lake.read("news", date=date(1970, 1, 1)).height == 2 * turns


@pytest.mark.parametrize("rounds", [8, pytest.param(200, marks=pytest.mark.long)])
def test_a_killed_writer_leaves_the_old_partition_or_the_new_one(
    lake: Lake, tmp_path: Path, rounds: int
) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        import polars as pl
        from vostok_core.lake.store import Lake
        lake = Lake.open(sys.argv[1], home=Path(sys.argv[2]))
        frame = pl.read_parquet(sys.argv[3])
        keys = {"instrument": sys.argv[4], "date": sys.argv[5]}
        lake.write("ticks", frame, code_version="0", **{**keys, "date": "2000-01-01"})  # warm up
        print("ready", flush=True)
        turn = 0
        while True:
            turn += 1
            rows = frame.with_columns(price=pl.col("price") + turn)
            seen = lake.seen("ticks", **keys)
            lake.write("ticks", rows, code_version=str(turn), over=seen, **keys)
            print(turn, flush=True)
        """
    )
    frame = tmp_path / "frame.parquet"
    rows = 20_000
    ticks(rows).write_parquet(frame)
    arguments = [str(lake.root), str(tmp_path / "home"), str(frame), ITEM, str(DAY)]
    done = written = 0
    writer = None
    pause = 0.0
    for number in range(rounds):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        pause = 0.001 + 0.11 * (number / rounds)
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        said = writer.communicate()[0].split()
        done = int(said[-1]) if said else 0
        if lake.exists("ticks", **KEYS):
            info, found = lake.load("ticks", **KEYS)
            turn = int(info.code_version)
            assert found["price"].to_list()[0] == 10.0 + turn
            assert found.height == rows
            # What it said was written is there, or what it wrote next.
            assert turn in {done, done + 1} or not done
            written += 1
    assert written > rounds // 2
    again = lake.write("ticks", ticks(3), code_version="x", over=lake.seen("ticks", **KEYS), **KEYS)
    assert lake.info("ticks", **KEYS) == again
