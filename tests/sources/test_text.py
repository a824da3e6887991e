"""Lines are the same however a text is encoded and cut into blocks, and what is no text is told."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import SourceFormatError, UsageError
from vostok_pipelines.sources import text as texts
from vostok_pipelines.sources.common import Notation, SourceFile, first_line
from vostok_pipelines.sources.text import blocks, check_encoding

LINES = ["1,2.5,buy", "2,3.5,sell", "3,4.5,buy"]


def lines_of(data: bytes, encoding: str | None = None, size: int = 1 << 20) -> list[str]:
    """The lines of a text, and a check that blocks say where they stand."""
    found: list[str] = []
    for block in blocks(io.BytesIO(data), Path("source"), encoding, size=size):
        assert block.line == len(found) + 1
        lines = block.text.decode().split("\n")
        assert block.count == len(lines)
        found += [line.removesuffix("\r") for line in lines]
    return found


def refused(data: bytes, encoding: str | None = None) -> str:
    with pytest.raises(SourceFormatError) as caught:
        lines_of(data, encoding)
    assert caught.value.hint
    assert caught.value.where == "source"
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(st.text('ab,1 \t"é價', max_size=12), max_size=12),
    ends=st.lists(st.sampled_from(["\n", "\r\n"]), min_size=12, max_size=12),
    after=st.text(" \t\n", max_size=5),
    size=st.integers(1, 60),
)
def test_blocks_of_any_size_hold_the_lines_without_blank_ones_at_the_end(lines, ends, after, size):
    whole = "".join(line + end for line, end in zip(lines, ends, strict=False)) + after
    data = whole.encode()
    expected = [line.removesuffix("\r") for line in whole.split("\n")]
    while expected and not expected[-1].strip():
        expected.pop()
    if not expected:
        refused(data)
        return
    assert lines_of(data, size=1 << 20) == expected
    with pytest.MonkeyPatch.context() as small:
        small.setattr("vostok_pipelines.sources.packed.PIECE", 7)
        small.setattr("vostok_pipelines.sources.text._HEAD", 1)
        assert lines_of(data, size=size) == expected


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n \n\t\r\n"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gbk"]
)
def test_every_encoding_says_the_same(encoding, end):
    lines = ["时间,价格", *LINES]
    data = ("\n".join(lines) + end).encode(encoding)
    assert lines_of(data, encoding) == lines
    if encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):  # the file says so itself
        assert lines_of(data) == lines


@pytest.mark.parametrize("bom", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_utf16_is_told_by_its_byte_order_mark_whichever_it_is(bom):
    encoding = "utf-16-le" if bom == codecs.BOM_UTF16_LE else "utf-16-be"
    assert lines_of(bom + "\n".join(LINES).encode(encoding)) == LINES


def test_a_text_that_is_not_in_its_declared_encoding_is_refused():
    assert "the text is not utf-8" in refused("时间\n1,2\n".encode("gbk"), "utf-8")
    many = b"1\n" * 400_000
    assert "line 393217 or later: the text is not gbk" in refused(many + b"\xff\xff", "gbk")
    assert "the text is not utf-16" in refused("1,2\n".encode("utf-16")[:-1])


@pytest.mark.parametrize("name", ["klingon", "rot13", "hex", "utf-8\0", ""])
def test_an_encoding_that_there_is_not_is_a_usage_error(name):
    with pytest.raises(UsageError, match="no encoding is called"):
        check_encoding(name)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b" \r\n\t\n", "the file is empty"),
        (codecs.BOM_UTF8 + b"\n", "the file is empty"),
        ("\n ".encode("utf-16"), "the file is empty"),
        (b"<!DOCTYPE html><title>404 Not\n Found</title>", "HTML or XML page: 404 Not Found"),
        (b"\n<Error><Code>NoSuchKey</Code></Error>", "HTML or XML page: NoSuchKey"),
        (b'{"code":-1121,"msg":"Invalid symbol."}', 'JSON: {"code":-1121,"msg":"Invalid symbol."}'),
        (codecs.BOM_UTF8 + b'[{"a":1}]', "this is JSON"),
        ('{"a":1}'.encode("utf-16"), "this is JSON"),
        (b"PAR1 and so on", "this is a Parquet file"),
        (b"ARROW1\0\0 and so on", "this is a Feather file"),
        (b"FEA1 and so on", "a Feather file of version 1"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "a 7-Zip archive"),
        (b"Rar!\x1a\x07\1\0", "a RAR archive"),
        (b"\x04\x22\x4d\x18d@", "an LZ4 file"),
        (b"a.csv" + bytes(252) + b"ustar\0", "a tar archive"),
        (bytes(range(128, 255)), "this is binary"),
        (b"1,2\n3,4\n5,\x006\n", "line 3: delimited text was expected, and this is binary"),
        (b"1,2\n" * 3_000_000 + b"\0", "line 3000001: delimited text"),
        ("1,2\n3,4\n".encode("utf-16-le"), "--encoding utf-16-le"),
        (b"1,2\r3,4\r5,6\r", "a carriage return alone"),
        (b"1" * (texts.LONGEST + 2), "line 1 should end within 1048576 bytes"),
        (b"1,2\n" * (texts.BLOCK // 3) + b"1" * (texts.LONGEST * 9), "should end within"),
        (b"1,2" + b"\n" * (texts.LONGEST * 10), "and so should blank lines"),
    ],
    ids=range(24),
)
def test_what_is_no_text_is_refused_by_what_it_is(data, words):
    assert words in refused(data)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b'a,"b, c",  d ,\r\n', ["a", "b, c", "d", ""]),
        (b'"a ""b""",c', ['a "b"', "c"]),
        (b'a,b"c', ["a", 'b"c']),
        (b'"' + b"x" * 200_000 + b'",1', ['"' + "x" * 200_000 + '"', "1"]),
    ],
)
def test_the_first_line_is_cut_into_fields_as_csv_is(line, fields):
    assert first_line(SourceFile(Path("source"), line)) == fields


def test_lines_before_the_first_are_skipped_and_missed_if_they_are_not_there():
    source = SourceFile(Path("source"), b"https://example.com\n\na;b\n1;2\n")
    assert first_line(source, Notation(separator=";", skip_lines=2)) == ["a", "b"]
    with pytest.raises(SourceFormatError, match="the file has 4 lines, and 4 are to be skipped"):
        first_line(source, Notation(skip_lines=4))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"separator": ";;"}, "can't stand between fields"),
        ({"separator": "."}, "can't stand between fields"),
        ({"separator": "e"}, "can't stand between fields"),
        ({"separator": "\n"}, "can't stand between fields"),
        ({"separator": "价"}, "can't stand between fields"),
        ({"decimal": "'"}, "is no decimal mark"),
        ({"decimal": ","}, "can't both be separated by a comma"),
        ({"encoding": "klingon"}, "no encoding is called 'klingon'"),
        ({"skip_lines": -1}, "no lines before the first"),
        ({"sides": ("bid", "bid")}, "written alike"),
        ({"sides": ("bid", "")}, "written alike"),
    ],
)
def test_a_notation_that_cannot_be_meant_is_a_usage_error(parts, words):
    with pytest.raises(UsageError, match=words):
        Notation(**parts)
