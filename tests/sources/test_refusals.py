"""A file that is not what it claims to be is refused, with the line and a hint."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import SourceFormatError
from vostok_pipelines.landing import land
from vostok_pipelines.sources import binance, generic, klines, kraken
from vostok_pipelines.sources.common import Source, SourceFile

AGG = (
    "7,100.5,0.25,11,12,1736121600000000,True,True\n8,100.5,0.5,13,13,1736121600000001,False,True\n"
)
TRADES = "7,100.5,0.25,25.125,1736121600000,True,True\n8,100.5,0.5,50.25,1736121600001,False,True\n"
KRAKEN = "1525732094.0605,17.8,0.07676091,s,m,None\n1525732119.8463,17.8003,10.0,s,l,\n"
KLINES = (
    "1736121600000,10,12,9,11,7,1736121659999,77,5,3.5,38,0\n"
    "1736121660000,11,12,9,10,7,1736121719999,77,5,3.5,38,0\n"
)
READERS: dict[str, tuple[Callable[[SourceFile], Source], str]] = {
    "binance-aggtrades": (binance.read_agg_trades, AGG),
    "binance-trades": (binance.read_trades, TRADES),
    "kraken-trades": (kraken.read_trades, KRAKEN),
    "binance-klines": (klines.read_binance, KLINES),
    "csv": (lambda source: generic.read(source, "csv", "trades", {}), ""),
    "parquet": (lambda source: generic.read(source, "parquet", "trades", {}), ""),
}


def refused(name: str, data: bytes) -> str:
    """Read bytes under a declared format; returns the words of the refusal."""
    with pytest.raises(SourceFormatError) as caught:
        READERS[name][0](SourceFile(Path("source"), data))
    assert caught.value.hint
    assert caught.value.where == "source"
    return str(caught.value)


@pytest.mark.parametrize("claimed", READERS)
@pytest.mark.parametrize("real", [name for name, (_, text) in READERS.items() if text])
def test_each_format_is_refused_under_the_name_of_every_other(claimed, real):
    text = READERS[real][1]
    if claimed == real:
        assert READERS[claimed][0](SourceFile(Path("source"), text.encode())).frame.height == 2
    else:
        refused(claimed, text.encode())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("x,100.5,0.5,13,13,1736121600000001,False,True", "agg_trade_id should be a whole number"),
        ("-8,100.5,0.5,13,13,1736121600000001,False,True", "trade_id should be 0 or above"),
        ("8,abc,0.5,13,13,1736121600000001,False,True", "price should be a number, found 'abc'"),
        ("8,0,0.5,13,13,1736121600000001,False,True", "price should be a finite number above 0"),
        ("8,nan,0.5,13,13,1736121600000001,False,True", "price should be a finite number"),
        ("8,inf,0.5,13,13,1736121600000001,False,True", "price should be a finite number"),
        ("8,1e400,0.5,13,13,1736121600000001,False,True", "price should be a finite number"),
        ("8,,0.5,13,13,1736121600000001,False,True", "price should be a number, found nothing"),
        ("8,100.5,-0.5,13,13,1736121600000001,False,True", "qty should be a finite number above"),
        ("8,100.5,0.0,13,13,1736121600000001,False,True", "qty should be a finite number above"),
        ("8,100.5,0.5,13,12,1736121600000001,False,True", "last_trade_id should be at or above"),
        ("8,100.5,0.5,13,13,1736121600000,False,True", "time should be in microseconds"),
        ("8,100.5,0.5,13,13,4102444800000000,False,True", "time should be in microseconds"),
        ("8,100.5,0.5,13,13,1736121600000001,0,True", "is_buyer_maker should be true or false"),
        ("8,100.5,0.5,13,13,1736121600000001,False", "found 7 columns, expected 8"),
        ("8,100.5,0.5,13,13,1736121600000001,False,True,1", "found 9 columns, expected 8"),
        ("<html>", "found 1 columns, expected 8"),
        ("8,100.5,0.5,13,13,17361", "found 6 columns, expected 8"),
    ],
)
@pytest.mark.parametrize("header", [True, False], ids=["header", "bare"])
def test_a_bad_line_is_named_by_its_number(line, words, header):
    top = "agg_trade_id,price,qty,first_trade_id,last_trade_id,time,is_buyer_maker,is_best_match\n"
    text = (top if header else "") + AGG + line + "\n" + AGG
    assert f"line {4 if header else 3}: {words}" in refused("binance-aggtrades", text.encode())


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("kraken-trades", "1525732119.8463,17.8,10.0,buy,l,", "side should be b or s, found 'buy'"),
        ("kraken-trades", "1525732119.8463,17.8,10.0,b,x,", "order_type should be m or l"),
        ("kraken-trades", "١٥٢٥٧٣٢١١٩,17.8,10.0,b,l,", "time should be a decimal number, found '١"),
        ("kraken-trades", "1525732119.٣,17.8,10.0,b,l,", "time should be a decimal number"),
        ("kraken-trades", "1525732119.8,17.٨,10.0,b,l,", "price should be a number, found '17.٨'"),
        ("kraken-trades", "1.5257e9,17.8,10.0,b,l,", "time should be a decimal number"),
        ("kraken-trades", "1525732119846.3,17.8,10.0,b,l,", "time should be in seconds"),
        ("kraken-trades", ",17.8,10.0,b,l,", "time should be a decimal number, found nothing"),
        ("kraken-trades", "1525732119.8463,17.8,10.0,b,l", "found 5 columns, expected 6"),
        ("kraken-trades", '1525732119.8463,17.8,10.0,b,l,5"', "a quotation mark is not closed"),
        (
            "binance-klines",
            "1736121720000,10,9.5,9,10,7,1736121779999,7,5,3,8,0",
            "high should be at or above open and close",
        ),
        (
            "binance-klines",
            "1736121720000,10,12,10.5,11,7,1736121779999,7,5,3,8,0",
            "low should be at or below open and close",
        ),
        (
            "binance-klines",
            "1736121720001,10,12,9,11,7,1736121780000,7,5,3,8,0",
            "a bar of 1m can't open at",
        ),
        (
            "binance-klines",
            "1736121720000,10,12,9,11,-7,1736121779999,7,5,3,8,0",
            "volume should be a finite number, 0 or above",
        ),
        (
            "binance-trades",
            "9,100.5,0.5,x,1736121600001,False,True",
            "quote_qty should be a number, found 'x'",
        ),
    ],
)
def test_a_bad_line_of_another_format_is_named_too(name, line, words):
    text = READERS[name][1] + line + "\n"
    assert f"line 3: {words}" in refused(name, text.encode())


def test_blank_lines_are_refused_inside_a_file_and_ignored_at_its_end():
    read = binance.read_agg_trades(SourceFile(Path("source"), (AGG + "\r\n\n \n").encode()))
    assert read.frame.height == 2
    words = refused("binance-aggtrades", (AGG + "\n" + AGG).encode())
    assert "line 3: found 1 columns, expected 8" in words


def test_a_header_that_names_other_columns_is_refused():
    words = refused(
        "binance-aggtrades",
        b"agg_trade_id,qty,price,first_trade_id,last_trade_id,time,is_buyer_maker\n",
    )
    assert "line 1: column 2 is called 'qty', expected 'price'" in words


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, AGG * 50)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b" \n", "the file is empty"),
        (b"\xef\xbb\xbf\n", "the file is empty"),
        (b"<!DOCTYPE html><html>404</html>", "this is an HTML or XML page"),
        (b'{"code":-1121,"msg":"Invalid symbol."}', "this is JSON"),
        (b"PAR1 and so on", "this is a Parquet file"),
        (b"1,2\x00\x01,3", "this is binary"),
        (_zip("a.csv", "b.csv"), "the zip holds 2 files (a.csv, b.csv) instead of one"),
        (_zip(), "the zip holds 0 files (none) instead of one"),
        (_zip("a.csv")[:-30], "the zip is truncated or damaged"),
        (_zip("a.csv")[:60] + b"xxxx" + _zip("a.csv")[64:], "the zip is truncated or damaged"),
        (b"\x1f\x8b\x08\x00 not gzip", "the gzip file is truncated or damaged"),
        (AGG.encode()[:15], "found 4 columns (7,100.5,0.25,11), expected 8 (agg_trade_id,"),
    ],
)
def test_a_file_that_is_no_text_of_trades_is_refused_by_what_it_is(data, words):
    if data.strip() and not data.startswith(b"\xef"):
        assert words in refused("binance-aggtrades", data)
    else:
        assert words in _refused_on_disk(data)


def test_damage_to_a_packing_is_told_before_what_it_does_to_the_text():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.csv", AGG * 150_000)  # several blocks
    damaged = buffer.getvalue().replace(b"0.25", b"0x25", 1)
    assert "the zip is truncated or damaged (a.csv is not" in refused("binance-aggtrades", damaged)


def _refused_on_disk(data: bytes) -> str:
    source = SourceFile(Path("source"), data)
    with pytest.raises(SourceFormatError) as caught:
        _ = source.text
    return str(caught.value)


def test_a_path_that_is_no_readable_file_is_refused(tmp_path):
    (tmp_path / "empty").touch()
    for name, words in ((".", "folder"), ("absent", "doesn't exist"), ("empty", "is empty")):
        with pytest.raises(SourceFormatError, match=words):
            SourceFile.open(tmp_path / name)


def _parquet(**columns: list[object]) -> bytes:
    good: dict[str, list[object]] = {
        "ts": [1_736_121_600_000] * 2,
        "price": [1.0, 2.0],
        "qty": [1.0, 2.0],
        "side": ["buy", "sell"],
    }
    buffer = io.BytesIO()
    pl.DataFrame(good | columns, strict=False).write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"ts,price\n", "not a Parquet file"),
        (_parquet()[:-9], "truncated or damaged"),
        (_parquet(price=[1.0, None]), "row 2: price should be there in every row, found nothing"),
        (_parquet(price=["1", "2x"]), "row 2: price should be a number, found '2x'"),
        (_parquet(price=[[1.0], [2.0]]), "row 1: price should be a number, and is large_list"),
        (_parquet(price=[1.0, -1.0]), "row 2: price should be a finite number above 0"),
        (_parquet(ts=[1_736_121_600_000, 5]), "row 2: ts should be in milliseconds"),
        (_parquet(ts=[True, False]), "row 1: ts should be a time, and is Boolean"),
        (_parquet(price=[True, False]), "row 1: price should be a number, and is bool"),
        (_parquet(side=["buy", "b"]), "row 2: side should be buy or sell, found 'b'"),
        (_parquet(side=["ask", "bid"]), "row 1: side should be buy or sell, b or s"),
        (_parquet(side=[1.0, 2.0]), "row 1: side should be text or true/false"),
        (_parquet(side=[1, 2]), "row 1: side should be buy or sell, b or s"),
        (_parquet(side=["buy", None]), "side should be there in every row"),
    ],
)
def test_a_parquet_file_is_refused_by_its_first_bad_row(data, words):
    assert words in refused("parquet", data)


def test_klines_whose_interval_cannot_be_told_are_refused():
    def read(times: list[int]) -> None:
        text = "ts,open,high,low,close,volume\n" + "".join(f"{t},1,1,1,1,1\n" for t in times)
        generic.read(SourceFile(Path("source"), text.encode()), "csv", "klines", {})

    with pytest.raises(SourceFormatError, match="interval can't be told"):
        read([1_736_121_600])
    with pytest.raises(SourceFormatError, match="interval can't be told"):
        read([1_736_121_600, 1_736_121_607])
    read([1_736_121_600, 1_736_121_660])


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from([name for name, (_, text) in READERS.items() if text]),
    place=st.floats(0, 1, exclude_max=True),
    cut=st.integers(0, 10),
    junk=st.binary(max_size=6),
)
def test_whatever_is_damaged_nothing_but_a_format_error_comes_out(name, place, cut, junk):
    read, text = READERS[name]
    data = text.encode()
    at = int(place * len(data))
    damaged = data[:at] + junk + data[at + cut :]
    try:
        frame = read(SourceFile(Path("source"), damaged)).frame
    except SourceFormatError as error:
        assert error.hint  # noqa: PT017 (reading it is just as good an outcome)
    else:
        prices = "close" if "close" in frame.columns else "price"
        assert (frame[prices] > 0).all()
        assert frame["ts"].null_count() == 0


def test_a_file_that_is_named_for_another_symbol_is_refused(lake, agg, tmp_path):
    line = "1,10,1,1,1,1736207400000000,True,True\n"
    path = tmp_path / "BTCUSDT-aggTrades-2025-01-06.csv"
    path.write_text(line)
    with pytest.raises(SourceFormatError, match="named for BTCUSDT") as caught:
        land(lake, path, agg, "binance-aggtrades")
    assert agg.id.symbol in caught.value.what
    land(lake, path.rename(tmp_path / "mine.csv"), agg, "binance-aggtrades")
