"""A lake in an object store is asked as one in a folder is."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.lake.test_store import DAY, ITEM, ticks
from tests.store.proxy import between
from tests.store.server import BUCKET, Server
from vostok_core.errors import CorruptPartition, UsageError
from vostok_core.lake import connect
from vostok_core.lake.address import S3Options
from vostok_core.lake.catalog import query, refresh_catalog
from vostok_core.lake.store import Lake

ROOT = Path(__file__).resolve().parents[2]
DAYS = [DAY + timedelta(days=number) for number in range(5)]


def fill(lake: Lake) -> Lake:
    for number, day in enumerate(DAYS):
        frame = ticks(10 + number)
        lake.write("ticks", frame, code_version="1", instrument=ITEM, date=day)
    return lake


@pytest.fixture
def lake(s3_address: str, tmp_path: Path) -> Lake:
    """Five days of ticks."""
    return fill(Lake.open(s3_address, home=tmp_path / "home"))


def test_it_answers_what_a_folder_answers(lake: Lake, tmp_path: Path) -> None:
    folder = fill(Lake.open(tmp_path / "folder"))
    for sql in (
        "SELECT * FROM ticks ORDER BY date, trade_id",
        "SELECT date, sum(price) FROM ticks WHERE date > '2024-03-02' GROUP BY 1 ORDER BY 1",
        "SELECT * FROM bars",
        "SHOW TABLES",
        "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'ticks' ORDER BY 1",
    ):
        found = query(lake, sql)
        assert found.equals(query(folder, sql)), sql
    assert (tmp_path / "home" / "vostok.duckdb").is_file()
    lake.write("ticks", ticks(99), code_version="1", instrument=ITEM, date=date(2024, 4, 1))
    assert query(lake, "SELECT count(*) AS n FROM ticks")["n"].item() == 60 + 99
    assert query(lake, "SELECT count(*) AS n FROM ticks")["n"].item() == 60 + 99


def test_a_notebook_needs_the_address_alone(lake: Lake) -> None:
    with connect(str(lake.root)) as connection:
        assert connection.sql("SELECT count(*) FROM ticks").fetchall() == [(60,)]
        connection.execute(
            "CREATE TEMP TABLE mine AS SELECT * FROM ticks WHERE date = '2024-03-01'"
        )
        assert connection.sql("SELECT count(*) FROM mine").fetchall() == [(10,)]
        pattern = f"{lake.root}/ticks/**/part-*.parquet"
        assert connection.sql(f"SELECT count(*) FROM '{pattern}'").fetchall() == [(60,)]
        one = f"{lake.root}/ticks/instrument={ITEM}/date=2024-03-01/part-0.parquet"
        assert connection.sql(f"SELECT count(*) FROM '{one}'").fetchall() == [(10,)]
    with pytest.raises(UsageError, match="no folder on this machine"):
        refresh_catalog(Lake.open(str(lake.root)))


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT * FROM 's3://{BUCKET}/secret.parquet'",
        "SELECT * FROM 's3://elsewhere/x.parquet'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY ticks TO 's3://{root}/mine.parquet'",
    ],
)
def test_a_query_reaches_nothing_outside_and_writes_nothing(lake: Lake, sql: str) -> None:
    with pytest.raises(UsageError):
        query(lake, sql.replace("s3://{root}", str(lake.root)))
    assert len(lake.objects.names("")) == 6


def test_a_damaged_partition_is_named(lake: Lake) -> None:
    key = lake.folder("ticks", instrument=ITEM, date=DAY) + "/part-0.parquet"
    lake.objects.put(key, b"PAR1 nonsense PAR1")
    with pytest.raises(CorruptPartition) as caught:
        query(lake, "SELECT sum(price) FROM ticks")
    assert "part-0.parquet" in str(caught.value)


def test_one_day_of_many_costs_that_day(lake: Lake, s3_server: Server, tmp_path: Path) -> None:
    sql = f"SELECT sum(price) AS p FROM ticks WHERE instrument = '{ITEM}' AND date = '2024-03-02'"
    query(lake, sql)
    with between(s3_server.port) as proxy:
        through = Lake.open(str(lake.root), home=lake.home, options=S3Options(proxy.url))
        proxy.seen.clear()
        query(through, sql)
        read = [each.path for each in proxy.seen if each.path.endswith(".parquet")]
        listings = [each.path for each in proxy.seen if "list-type=2" in each.path]
    # The first file for the schema, and the day; the catalog is looked at, and DuckDB lists twice.
    assert len(read) == len(set(read)) == 2
    assert "date%3D2024-03-02" in read[1]
    assert len(listings) <= 4


@pytest.fixture
def writer(lake: Lake, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Swaps days for others all the time: all rows of a partition have one price."""
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        import polars as pl
        from tests.lake.test_store import ITEM, ticks
        from tests.store.test_sql import DAYS
        from vostok_core.lake.store import Lake
        lake = Lake.open(sys.argv[1], home=Path(sys.argv[2]))
        turn = 0
        while True:
            for day in DAYS:
                turn += 1
                frame = ticks(100 + turn % 50).with_columns(price=pl.lit(float(turn)))
                lake.write("ticks", frame, code_version=str(turn), instrument=ITEM, date=day)
            print(turn, flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(lake.root), str(tmp_path / "home")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"5\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.long
def test_queries_while_days_are_swapped_never_fail_and_see_whole_days(
    lake: Lake, writer: subprocess.Popen[bytes]
) -> None:
    sql = (
        "SELECT date, count(*) AS n, min(price) AS low, max(price) AS high FROM ticks GROUP BY date"
    )
    seen = set()
    end = time.monotonic() + 12
    with connect(lake) as connection:
        while time.monotonic() < end:
            for rows in (query(lake, sql).rows(), connection.sql(sql).fetchall()):
                assert len(rows) == len(DAYS)
                for _, count, low, high in rows:
                    assert low == high
                    assert count == 100 + int(low) % 50
                    seen.add(low)
    assert writer.poll() is None
    assert len(seen) > 10
