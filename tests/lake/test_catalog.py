"""The DuckDB catalog: typed views, found partitions, confined queries, readers that never fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.lake.rows import ticks
from vostok_core.errors import CorruptPartition, UsageError
from vostok_core.lake import connect
from vostok_core.lake.catalog import FILE_NAME, query, refresh_catalog
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TABLES, TIME

DAY = date(2024, 3, 1)
ITEM = "demo.spot.EDGE-USDT"
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def write_features(lake: Lake, pack: str, **columns: float) -> None:
    frame = pl.DataFrame({"ts": [NOON], "valid": [True]}, schema_overrides={"ts": TIME})
    frame = frame.with_columns(**{name: pl.lit(value) for name, value in columns.items()})
    lake.write(
        "features",
        frame,
        code_version="1",
        pack=pack,
        instrument=ITEM,
        interval="1m",
        date=DAY,
    )


def write_trials(lake: Lake, strategy: str = "s", days: int = 1) -> None:
    frame = pl.DataFrame(
        {
            "date": [date(2024, 3, 1 + i) for i in range(days)],
            "net_return": [0.01] * days,
            "benchmark_return": [0.0] * days,
            "trades": [2] * days,
            "observed": [1.0] * days,
        }
    )
    lake.write(
        "trials",
        frame,
        code_version="1",
        strategy=strategy,
        instrument=ITEM,
        configuration="c",
    )


class TestViews:
    def test_every_table_of_an_empty_lake_is_an_empty_view_with_its_types(self, lake: Lake) -> None:
        for table in TABLES.values():
            frame = query(lake, f"FROM {table.name}")
            assert frame.height == 0
            schema = frame.schema
            for column in table.columns:
                assert schema[column.name] == column.dtype, (table.name, column.name)
            for key in table.keys:
                assert schema[key] == (pl.Date if key in ("date", "week") else pl.String)

    def test_a_view_gives_the_rows_of_every_partition_with_its_keys(self, lake: Lake) -> None:
        write_trials(lake, "one", 3)
        write_trials(lake, "two", 2)
        frame = query(
            lake, "SELECT strategy, count(*) AS n, sum(trades) AS t FROM trials GROUP BY ALL"
        ).sort("strategy")
        assert frame.to_dicts() == [
            {"strategy": "one", "n": 3, "t": 6},
            {"strategy": "two", "n": 2, "t": 4},
        ]
        assert frame.schema["t"] == pl.Int64

    def test_a_filled_view_has_the_types_that_the_empty_one_had(self, lake: Lake) -> None:
        empty = query(lake, "FROM trials").schema
        write_trials(lake)
        assert query(lake, "FROM trials").schema == empty

    def test_a_table_by_day_is_a_function_of_its_keys(self, lake: Lake) -> None:
        assert query(lake, f"FROM ticks('{ITEM}', DATE '2024-03-01')").is_empty()
        for number in (1, 2, 4):
            day = date(2024, 3, number)
            lake.write("ticks", ticks(10 * number), code_version="1", instrument=ITEM, date=day)
        lake.write("ticks", ticks(3), code_version="1", instrument="b.spot.A-B", date=DAY)
        view = f"FROM ticks WHERE instrument = '{ITEM}'"
        for arguments, condition in (
            ("", ""),
            (", DATE '2024-03-02'", " AND date = DATE '2024-03-02'"),
            (", '2024-03-02'", " AND date = DATE '2024-03-02'"),
            (", DATE '2024-03-02', DATE '2024-03-31'", " AND date >= DATE '2024-03-02'"),
        ):
            found = query(lake, f"FROM ticks('{ITEM}'{arguments}) ORDER BY date, trade_id")
            assert found.equals(query(lake, f"{view}{condition} ORDER BY date, trade_id"))
            assert found.height
        with pytest.raises(UsageError, match="no partition has those keys"):
            query(lake, f"FROM ticks('{ITEM}', DATE '2024-03-03')")

    def test_features_of_a_pack_are_a_function_of_the_other_keys(self, lake: Lake) -> None:
        write_features(lake, "core", rsi=50.0)
        found = query(lake, f"SELECT rsi FROM features_core('{ITEM}', '1m', DATE '2024-03-01')")
        assert found["rsi"].to_list() == [50.0]
        assert query(lake, f"FROM features('core', '{ITEM}', '1m')").height == 1

    def test_keys_are_typed_and_times_are_utc(self, lake: Lake) -> None:
        write_features(lake, "core", rsi=50.0)
        frame = query(lake, "SELECT interval, date, ts, date + 1 AS next FROM features")
        assert frame.schema["date"] == pl.Date
        assert frame.row(0) == ("1m", DAY, NOON, date(2024, 3, 2))
        assert frame.schema["ts"] == TIME
        shown = query(lake, "SELECT ts::VARCHAR FROM features").item()
        assert shown == "2024-03-01 12:00:00+00"

    def test_packs_with_other_columns_share_one_view_and_have_their_own(self, lake: Lake) -> None:
        write_features(lake, "core", rsi=50.0)
        write_features(lake, "mood", tone=0.5)
        both = query(lake, "SELECT pack, rsi, tone FROM features ORDER BY pack").rows()
        assert both == [("core", 50.0, None), ("mood", None, 0.5)]
        assert "tone" not in query(lake, "FROM features_core").columns
        assert query(lake, "SELECT tone FROM features_mood").item() == 0.5

    def test_every_view_and_every_column_says_what_it_is(self, lake: Lake) -> None:
        write_features(lake, "core", rsi=50.0)
        views = query(lake, "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal")
        assert set(TABLES) <= set(views["view_name"])
        assert views["comment"].null_count() == 0
        columns = query(
            lake,
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal",
        )
        assert columns.filter(pl.col("comment").is_null()).rows() == []
        told = columns.filter(table_name="ticks", column_name="price")["comment"].item()
        assert told == "price of the trade [quote per base]"

    def test_odd_keys_and_an_odd_root_are_read(self, tmp_path: Path) -> None:
        lake = Lake.open(tmp_path / "date=x" / "la[k]e *'s")
        for strategy in ("a/b", "c d", "50%", "é", "x+y", "*"):
            write_trials(lake, strategy)
        found = query(lake, "SELECT strategy FROM trials ORDER BY strategy")["strategy"].to_list()
        assert found == sorted(["a/b", "c d", "50%", "é", "x+y", "*"])

    def test_temporary_files_of_writers_are_not_read(self, lake: Lake) -> None:
        write_trials(lake)
        folder = lake.partition("trials", strategy="s", instrument=ITEM, configuration="c")
        (folder / ".part-0.parquet.abc.tmp").write_bytes(b"half")
        assert query(lake, "SELECT count(*) FROM trials").item() == 1


class TestFreshness:
    def test_the_first_partition_of_a_table_shows_without_a_refresh_by_hand(
        self, lake: Lake
    ) -> None:
        refresh_catalog(lake)
        write_trials(lake)
        assert query(lake, "SELECT count(*) FROM trials").item() == 1

    def test_further_partitions_show_in_a_connection_that_is_open(self, lake: Lake) -> None:
        write_trials(lake, "one")
        with connect(lake.root) as connection:
            assert connection.sql("SELECT count(*) FROM trials").fetchall() == [(1,)]
            write_trials(lake, "two")
            assert connection.sql("SELECT count(*) FROM trials").fetchall() == [(2,)]

    def test_a_fresh_catalog_is_not_written_again(self, lake: Lake) -> None:
        write_trials(lake)
        path = refresh_catalog(lake)
        before = path.stat().st_ino
        query(lake, "FROM trials")
        assert path.stat().st_ino == before

    def test_a_moved_lake_is_read_where_it_is_now(self, tmp_path: Path) -> None:
        lake = Lake.open(tmp_path / "here")
        write_trials(lake)
        refresh_catalog(lake)
        shutil.copytree(tmp_path / "here", tmp_path / "there")
        moved = Lake.open(tmp_path / "there")
        write_trials(moved, "more")
        assert query(moved, "SELECT count(*) FROM trials").item() == 2
        assert query(lake, "SELECT count(*) FROM trials").item() == 1

    def test_a_catalog_that_does_not_open_is_replaced(self, lake: Lake) -> None:
        write_trials(lake)
        (lake.root / FILE_NAME).write_bytes(b"not a database" * 500)
        assert query(lake, "SELECT count(*) FROM trials").item() == 1

    def test_a_lake_whose_catalog_cannot_be_written_still_answers(self, lake: Lake) -> None:
        write_trials(lake)
        (lake.root / FILE_NAME).mkdir()
        (lake.root / FILE_NAME / "in the way").touch()
        assert query(lake, "SELECT count(*) FROM trials").item() == 1

    def test_refreshing_leaves_one_file_and_views_only(self, lake: Lake) -> None:
        write_trials(lake)
        refresh_catalog(lake)
        refresh_catalog(lake)
        assert [p.name for p in lake.root.iterdir() if "duckdb" in p.name] == [FILE_NAME]
        with duckdb.connect(str(lake.root / FILE_NAME), read_only=True) as plain:
            assert plain.sql("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]
            # Anybody's DuckDB can read it, from any folder.
            assert plain.sql("SELECT count(*) FROM trials").fetchall() == [(1,)]


class TestRefusals:
    @pytest.mark.parametrize(
        ("sql", "told"),
        [
            ("SELEC 1", "syntax error"),
            ("SELECT nope FROM ticks", "nope"),
            ("", "0 statements"),
            ("SELECT 1; SELECT 2", "2 statements"),
            ("CREATE TABLE t(i INT)", "read, never written"),
            ("COPY (SELECT 1) TO '{root}/x.csv'", "read, never written"),
            ("EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/x.csv'", "read, never written"),
            ("/* */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/x.csv'", "EXPLAIN"),
            ("DROP VIEW ticks", "read, never written"),
            ("SET enable_external_access = true", "read, never written"),
            ("ATTACH 'x.db'", "read, never written"),
            ("INSTALL httpfs", "read, never written"),
            ("SELECT * FROM read_text('/etc/hostname')", "read|access"),
            ("SELECT * FROM '/etc/hostname'", "does not exist"),
            ("SELECT * FROM read_csv('https://example.org/x.csv')", "access|extension"),
            ("SELECT * FROM frame", "does not exist"),
        ],
    )
    def test_what_is_no_question_to_the_lake_is_refused_in_one_paragraph(
        self, lake: Lake, sql: str, told: str
    ) -> None:
        frame = pl.DataFrame({"secret": [1]})  # must not be found by name
        refresh_catalog(lake)
        before = sorted(p.name for p in lake.root.rglob("*"))
        with pytest.raises(UsageError, match=told) as caught:
            query(lake, sql.replace("{root}", str(lake.root)))
        assert frame.height == 1
        assert caught.value.hint
        assert "\n" not in str(caught.value)
        assert sorted(p.name for p in lake.root.rglob("*")) == before

    def test_an_unknown_table_is_answered_with_the_list(self, lake: Lake) -> None:
        with pytest.raises(UsageError) as caught:
            query(lake, "SELECT * FROM tick")
        assert "bars" in str(caught.value.hint)
        assert "ticks" in str(caught.value.hint)

    @pytest.mark.parametrize(
        "sql",
        ["SHOW TABLES", "DESCRIBE bars", "SUMMARIZE trials", "EXPLAIN SELECT 1", "VALUES (1)"],
    )
    def test_questions_about_the_tables_themselves_are_answered(self, lake: Lake, sql: str) -> None:
        write_trials(lake)
        assert query(lake, sql).height > 0

    def test_a_broken_file_of_the_lake_is_named(self, lake: Lake) -> None:
        write_trials(lake)
        info = lake.info("trials", strategy="s", instrument=ITEM, configuration="c")
        info.path.write_bytes(info.path.read_bytes()[:50])
        with pytest.raises(CorruptPartition, match=r"part-0\.parquet"):
            query(lake, "FROM trials")

    def test_there_is_nothing_to_connect_to_without_a_lake(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="holds no lake"):
            connect(tmp_path / "nothing")


class TestNumbers:
    def test_whole_numbers_too_wide_for_64_bits_are_kept(self, lake: Lake) -> None:
        frame = query(lake, "SELECT 9223372036854775807::HUGEINT * 2 AS wide, 5::HUGEINT AS narrow")
        assert frame.schema["narrow"] == pl.Int64
        assert int(frame["wide"].item()) == 2 * 9223372036854775807

    def test_a_frame_of_ones_own_joins_the_lake_in_a_notebook(self, lake: Lake) -> None:
        write_trials(lake)
        with connect(lake) as connection:
            mine = pl.DataFrame({"strategy": ["s"], "nick": ["steady"]})
            got = connection.sql("SELECT nick, trades FROM trials JOIN mine USING (strategy)").pl()
        assert mine.height == 1
        assert got.rows() == [("steady", 2)]


def test_queries_never_fail_while_partitions_and_the_catalog_are_swapped(tmp_path: Path) -> None:
    lake = Lake.open(tmp_path / "lake")
    write_trials(lake, "s0")
    source = lake.info("trials", strategy="s0", instrument=ITEM, configuration="c").path
    code = (
        "import sys, itertools; import polars as pl\n"
        "from vostok_core.lake.store import Lake\n"
        "from vostok_core.lake.catalog import refresh_catalog\n"
        "lake = Lake.open(sys.argv[1]); one = pl.read_parquet(sys.argv[2])\n"
        "for n in itertools.count():\n"
        "    rows = one.with_columns(net_return=pl.lit(float(n)))\n"
        "    lake.write('trials', rows, code_version='1', strategy=f's{n % 7}',\n"
        f"               instrument={ITEM!r}, configuration='c')\n"
        "    refresh_catalog(lake)\n"
        "    n == 6 and print('under way', flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(lake.root), str(source)], stdout=subprocess.PIPE
    )
    failures: list[BaseException] = []
    seen: set[float] = set()

    def ask() -> None:
        begun = time.monotonic()
        try:
            # On a busy machine the writer is slow to show; on an idle one, two seconds are many.
            while (spent := time.monotonic() - begun) < 2 or (len(seen) < 4 and spent < 60):
                rows = query(lake, "SELECT strategy, max(net_return) AS n FROM trials GROUP BY ALL")
                assert rows.height == 7
                seen.add(rows["n"].max())  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001 (told below)
            failures.append(error)

    try:
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == b"under way\n"
            threads = [threading.Thread(target=ask) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        child.kill()
        child.wait()
    assert failures == []
    assert len(seen) > 3, "the writer was not seen at work"


def test_intervals_come_out_as_text_nested_ones_too(lake: Lake) -> None:
    write_trials(lake)
    found = query(
        lake,
        "SELECT trades, INTERVAL 26 HOUR AS held, [INTERVAL 1 DAY] AS all_of_it, "
        'TIMESTAMP \'2024-03-02\' - TIMESTAMP \'2024-03-01\' AS "a ""day""" FROM trials',
    )
    assert found.row(0) == (2, "26:00:00", "[1 day]", "1 day")
    assert found.columns == ["trades", "held", "all_of_it", 'a "day"']
