"""A file in blocks of lines: what it gives out, and refuses, is what the whole file would."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.sources.fuzzing import SPOILING, spoilt
from vostok_core.errors import SourceFormatError
from vostok_pipelines.sources import binance, by_day
from vostok_pipelines.sources.by_day import opened
from vostok_pipelines.sources.formats import FORMATS
from vostok_pipelines.sources.text import LONGEST

START = 1_735_689_600_000_000  # 2025-01-01
DAY = 86_400_000_000
FIELD = FORMATS["binance-aggtrades"].time_field


@contextmanager
def blocks_of(size: int) -> Iterator[None]:
    """Every file is large, and read in blocks of so many bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_day, "LARGE", 0)
        patch.setattr(by_day, "BLOCK", size)
        yield


def line(k: int, ts: int, price: str = "10.5") -> str:
    return f"{k},{price},0.25,{k},{k},{ts},{'True' if k % 3 else 'False'},True"


def whole(path: Path) -> dict[date, pl.DataFrame]:
    """The obvious twin: everything at once, sorted into days by each row's own time."""
    source = binance.read_agg_trades(by_day.SourceFile.open(path))
    rows = source.frame.with_columns(day=pl.col("ts").dt.date())
    return {day: rows.filter(day=day).drop("day") for day in sorted(rows["day"].unique())}


def read(path: Path, wanted: list[date] | None = None) -> dict[date, pl.DataFrame]:
    with opened(path, FIELD) as file:
        content = file.read(binance.read_agg_trades)
        return dict(content.of(content.days if wanted is None else wanted))


@given(
    steps=st.lists(st.integers(-2_000, 9 * 3_600_000), min_size=1, max_size=60),
    size=st.integers(250, 2_000),
    header=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n"]),
    packing=st.sampled_from(["csv", "zip", "csv.gz", "csv.zst", "csv.xz"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    last_newline=st.booleans(),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_give_the_days_that_the_whole_file_gives(
    tmp_path: Path,
    packed: Callable[[str, str], bytes],
    steps: list[int],
    size: int,
    header: bool,
    ending: str,
    packing: str,
    encoding: str,
    last_newline: bool,
) -> None:
    """Also where times step back, over midnight even, and where lines end anyhow."""
    assume(len(steps) > 1 or not header)  # a block has lines beside the header, as real ones do
    ts, lines = START + DAY, []
    for k, step in enumerate(steps):
        ts += 1_000 * step
        lines.append(line(k, ts))
    if header:
        lines.insert(0, "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,"
                        "is_buyer_maker,is_best_match")  # fmt: skip
    path = tmp_path / f"file.{packing}"
    text = ending.join(lines) + ending * last_newline
    path.write_bytes(packed(text.encode(encoding), packing))
    expected = whole(path)
    with blocks_of(size):
        found = read(path)
        assert list(found) == list(expected)
        for day, rows in found.items():
            assert rows.equals(expected[day])
        some = list(expected)[::2]
        assert list(read(path, some)) == some


def test_a_day_without_rows_has_an_empty_frame(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("\n".join(line(k, START + 3 * k * DAY) for k in range(3)))
    wanted = [date(2025, 1, 1) + timedelta(days=k) for k in range(9)]
    for size in (60, 10_000):
        with blocks_of(size):
            found = read(path, wanted)
        assert [rows.height for rows in found.values()] == [1, 0, 0, 1, 0, 0, 1, 0, 0]
        assert len({tuple(rows.schema.items()) for rows in found.values()}) == 1


@pytest.mark.parametrize("bad", [0, 1, 57, 198, 199])
@pytest.mark.parametrize("packing", ["csv", "zip"])
def test_a_bad_line_is_named_by_its_number_in_the_file(
    tmp_path: Path, packed: Callable[[str, str], bytes], bad: int, packing: str
) -> None:
    lines = [line(k, START + k * DAY // 50) for k in range(200)]
    lines[bad] = lines[bad].replace("10.5", "-1")
    path = tmp_path / f"file.{packing}"
    path.write_bytes(packed("\n".join(lines), packing))
    for text in (lines[bad], lines[bad].replace("-1", "ten")):
        path.write_bytes(packed("\n".join([*lines[:bad], text, *lines[bad + 1 :]]), packing))
        with pytest.raises(SourceFormatError) as alone:
            read(path)
        with blocks_of(700), pytest.raises(SourceFormatError) as in_blocks:
            read(path)
        assert in_blocks.value.what == alone.value.what
        assert f"line {bad + 1}:" in alone.value.what


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda k, text: text if k < 30 else text.removesuffix(",True"), "columns, expected 8"),
        (
            lambda k, text: text if k < 30 else line(k, (START + k * 60_000_000) // 1_000),
            "milliseconds|microseconds",
        ),
        (lambda k, text: text if k != 30 else "a,b,c,d,e,f,g,h", "line 31"),
    ],
    ids=["width", "unit", "header"],
)
def test_what_the_whole_file_would_not_pass_does_not_pass_between_two_blocks(
    tmp_path: Path, change: Callable[[int, str], str], told: str
) -> None:
    lines = [line(10 + k, START + k * 60_000_000) for k in range(60)]
    text = "\n".join(change(k, each) for k, each in enumerate(lines)) + "\n"
    path = tmp_path / "file.csv"
    path.write_text(text)
    boundary = len("\n".join(lines[:30])) + 1
    for size in (boundary, boundary + 20, 200, 10_000):
        with blocks_of(size), pytest.raises(SourceFormatError, match=told):
            read(path)


@pytest.mark.parametrize("cut", [30, 400, -20])
def test_a_packed_file_that_was_cut_off_is_refused(
    tmp_path: Path, packed: Callable[[str, str], bytes], cut: int
) -> None:
    text = "\n".join(line(k, START + k * DAY // 50) for k in range(200))
    for packing in ("zip", "csv.gz"):
        path = tmp_path / f"file.{packing}"
        path.write_bytes(packed(text, packing)[:cut])
        with blocks_of(500), pytest.raises(SourceFormatError, match=r"damaged|truncated"):
            read(path)


@given(
    spoiling=SPOILING,
    packing=st.sampled_from(["csv", "zip", "csv.gz"]),
    size=st.integers(1, 2_000),
    before=st.booleans(),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_spoilt_file_gives_the_rows_that_the_whole_file_gives_or_is_refused(
    tmp_path: Path, packed: Callable[..., bytes], spoiling, packing: str, size: int, before: bool
) -> None:
    """Nothing but an error of the format comes out, whichever block the damage is in."""
    data = "\n".join(line(k, START + k * DAY // 7) for k in range(20)).encode()
    data = packed(spoilt(data, spoiling), packing) if before else spoilt(packed(data), spoiling)
    path = tmp_path / "file"
    path.write_bytes(data)
    with blocks_of(size):
        try:
            found = read(path)
        except SourceFormatError as error:
            assert error.hint  # noqa: PT017 (reading it is just as good an outcome)
            return
    expected = whole(path)
    assert list(found) == list(expected)
    assert all(rows.equals(expected[day]) for day, rows in found.items())


def test_a_time_of_any_number_of_digits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("\n".join([line(1, START), line(2, int("9" * 4_000))]) + "9" * 4_000)
    with blocks_of(10_000), pytest.raises(SourceFormatError, match="line 2"):
        read(path)
    path.write_text(line(1, START).replace(str(START), "9" * 5_000))
    with blocks_of(10_000), pytest.raises(SourceFormatError, match="line 1"):
        read(path)


def test_an_empty_file_and_one_without_lines_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    with blocks_of(500):
        for text in (b"", b"\n\n", gzip.compress(b"")):
            path.write_bytes(text)
            with pytest.raises(SourceFormatError, match="empty"):
                read(path)
        path.write_bytes(b"1" * (LONGEST + 5_000))
        with pytest.raises(SourceFormatError, match="line 1 should end within"):
            read(path)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    text = "\n".join(line(k, START + k * DAY // 50) for k in range(200)) + "\n"
    path.write_text(text)
    with blocks_of(500), opened(path, FIELD) as file:
        content = file.read(binance.read_agg_trades)
        days = content.of(content.days)
        next(days)
        with path.open("a") as more:
            more.write(line(200, START + 4 * DAY))
        with pytest.raises(SourceFormatError, match="written to while it was read"):
            list(days)
