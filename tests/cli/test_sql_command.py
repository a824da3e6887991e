"""Questions to the lake in SQL, from the command line."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table

DAY = date(2025, 1, 2)


@pytest.fixture
def findings(folder: Path) -> pl.DataFrame:
    """A lake with one day of findings."""
    frame = pl.DataFrame(
        {
            "kind": ["gap", "silence"],
            "severity": ["error", "warn"],
            "ts": [datetime(2025, 1, 2, 3, tzinfo=UTC), datetime(2025, 1, 2, 4, tzinfo=UTC)],
            "end_ts": [datetime(2025, 1, 2, 3, 1, tzinfo=UTC), datetime(2025, 1, 2, 5, tzinfo=UTC)],
            "count": [7, 60],
            "invalidates": [True, False],
            "detail": ["ids 1 to 7, of nobody", "nothing"],
            "repaired": [None, None],
        },
        schema=table("quality").schema,
    )
    lake = Lake.open(folder / "data_lake")
    lake.write("quality", frame, code_version="1", instrument="a.b.C-D", date=DAY)
    return frame


@pytest.mark.usefixtures("findings")
def test_rows_come_as_json_csv_or_table(vostok) -> None:
    query = 'SELECT instrument, date, kind, ts, "count" FROM quality ORDER BY ts'
    rows = json.loads(vostok("sql", query, "--format", "json").stdout)
    assert rows[0] == {
        "instrument": "a.b.C-D",
        "date": "2025-01-02",
        "kind": "gap",
        "ts": "2025-01-02T03:00:00Z",
        "count": 7,
    }
    text = vostok("sql", query, "--format", "csv").stdout
    assert [row["count"] for row in csv.DictReader(io.StringIO(text))] == ["7", "60"]
    lines = vostok("sql", query).stdout.splitlines()
    assert lines[0].split() == ["instrument", "date", "kind", "ts", "count"]
    assert len(lines) == 3


@pytest.mark.usefixtures("findings")
@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("SELECT * FROM qualities", "quality"),
        ("SELECT nothing FROM quality", "nothing"),
        ("SELEC 1", "SELEC"),
        ("DELETE FROM quality", "never written"),
    ],
)
def test_wrong_question_is_wrong_usage_in_one_paragraph(vostok, query: str, word: str) -> None:
    result = vostok("sql", query)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert word in result.stderr
    assert "Hint: " in result.stderr
