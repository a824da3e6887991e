"""Tables for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime

import polars as pl
import pytest

from vostok.cli.output import print_frame

FRAME = pl.DataFrame(
    {
        "name": ["a, b", None],
        "ts": [datetime(2025, 1, 2, 3, 4, 5, 678, tzinfo=UTC), None],
        "day": [date(2025, 1, 2), None],
        "value": [0.1, float("nan")],
        "count": [1, None],
        "many": [[1.5, float("inf")], []],
    },
    schema_overrides={"ts": pl.Datetime("us", "UTC")},
)


def test_json_is_valid_and_keeps_every_bit_that_json_can_hold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_frame(FRAME, "json")
    first, second = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert first == {
        "name": "a, b",
        "ts": "2025-01-02T03:04:05.000678Z",
        "day": "2025-01-02",
        "value": 0.1,
        "count": 1,
        "many": [1.5, None],
    }
    assert second == {
        "name": None, "ts": None, "day": None, "value": None, "count": None, "many": [],
    }  # fmt: skip


def test_csv_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    print_frame(FRAME.drop("many"), "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[0]["name"] == "a, b"
    assert rows[0]["value"] == "0.1"
    assert len(rows) == FRAME.height


def test_table_that_is_piped_is_plain_and_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_frame(FRAME.select("name", "count", "value"), "table")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "name  count  value"
    assert lines[1] == "a, b  1      0.1"
    assert lines[2] == "             nan"


def test_table_without_rows_still_names_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_frame(FRAME.clear().select("name", "count"), "table")
    assert capsys.readouterr().out == "name  count\n"
