"""Tables for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vostok.cli.fit import MORE, fit
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


def widths(text: str) -> set[int]:
    return {len(line) for line in text.splitlines()}


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda columns: monkeypatch.setenv("COLUMNS", str(columns))


def test_wide_texts_are_cut_to_the_terminals_width_with_a_sign_and_a_word(
    capsys: pytest.CaptureFixture[str], room: Callable[[int], None]
) -> None:
    room(60)
    frame = pl.DataFrame(
        {
            "rule": ["trades"],
            "value": [1234567.25],
            "reason": ["because " * 20],
            "hash": ["0123456789abcdef" * 4],
        }
    )
    print_frame(frame, "table")
    told = capsys.readouterr()
    head, row = told.out.splitlines()
    assert max(widths(told.out)) == 60
    assert re.fullmatch(r"trades  1234567\.25  because becau[a-z ]*…  0123456789abc[0-9a-f]*…", row)
    assert [head.index(name) for name in frame.columns] == [0, 8, 20, 41]
    assert "60 columns" in told.err
    assert "--format csv or json" in told.err
    print_frame(frame, "csv")
    assert "because " * 20 in capsys.readouterr().out


def test_table_that_fits_is_left_as_it_is(
    capsys: pytest.CaptureFixture[str], room: Callable[[int], None]
) -> None:
    room(30)
    print_frame(pl.DataFrame({"reason": ["x" * 20], "n": [12345678]}), "table")
    told = capsys.readouterr()
    assert told.out.splitlines()[1] == f"{'x' * 20}  12345678"
    assert told.err == ""


def test_numbers_and_times_are_never_cut_and_columns_in_the_middle_give_way(
    capsys: pytest.CaptureFixture[str], room: Callable[[int], None]
) -> None:
    room(50)
    frame = pl.DataFrame(
        {"kind": ["gap"], **{f"n{i}": [123456789] for i in range(9)}, "day": [date(2025, 1, 2)]}
    )
    print_frame(frame, "table")
    told = capsys.readouterr()
    head, row = (line.split() for line in told.out.splitlines())
    assert head == ["kind", "n0", "…", "n8", "day"]
    assert row == ["gap", "123456789", "…", "123456789", "2025-01-02"]
    assert max(widths(told.out)) <= 50
    assert ", without n1, n2, n3, n4, n5, n6, n7: " in told.err
    room(10)
    print_frame(frame, "table")
    assert capsys.readouterr().out.splitlines()[1].split() == ["gap", "…", "2025-01-02"]


def test_text_with_lines_of_its_own_is_left_alone(
    capsys: pytest.CaptureFixture[str], room: Callable[[int], None]
) -> None:
    room(20)
    print_frame(pl.DataFrame({"plan": ["a" * 30 + "\n" + "b" * 30]}), "table")
    told = capsys.readouterr()
    assert told.out == f"plan\n{'a' * 30}\n{'b' * 30}\n"
    assert told.err == ""


@given(
    columns=st.lists(
        st.tuples(st.integers(1, 30), st.integers(0, 90), st.booleans()), min_size=1, max_size=12
    ),
    width=st.integers(1, 200),
    gap=st.integers(1, 3),
)
def test_fitted_table_is_as_wide_as_it_may_be(
    columns: list[tuple[int, int, bool]], width: int, gap: int
) -> None:
    names = ["n" * name for name, _, _ in columns]
    row = ["x" * cell for _, cell, _ in columns]
    found = fit(names, [row], [text for _, _, text in columns], width, gap)
    wide = [
        max(len(name), len(cell)) for name, cell in zip(found.columns, found.rows[0], strict=True)
    ]
    total = sum(wide) + gap * (len(wide) - 1)
    whole = sum(max(name, cell) for name, cell, _ in columns) + gap * (len(columns) - 1)
    assert found.is_whole or whole > width
    assert total <= max(width, whole)
    if found.is_whole:
        assert (found.columns, found.rows[0]) == (names, row)
    left = [cell for cell in found.rows[0] if not cell.endswith(MORE)]
    assert all(cell in row for cell in left)
    if total > width:  # only where there is nothing left to give way
        assert len(found.columns) <= 3
    elif found.columns == names and not found.is_whole:
        assert width - total < len(names)
