"""The text of a file, as whole lines of UTF-8 in blocks, whatever it is packed and encoded in.

Text is read in blocks of some megabytes, so that a large file takes little more memory than its
rows do. Lines end in LF or CRLF; blank lines at the end don't count.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vostok_core.errors import SourceFormatError, UsageError
from vostok_pipelines.sources.packed import peek, pieces

BLOCK = 8 << 20
"""About how many bytes of text are parsed at once."""

LONGEST = 1 << 20
"""A line longer than this is refused: no layout comes near it."""

_HEAD = 4096
_NEWLINE = ord("\n")
_CACHED = 1 << 17  # bytes that a cache holds
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LOOKS_LIKE = (
    (b"PAR1", "a Parquet file", "name --format parquet"),
    (b"ARROW1", "a Feather file (Arrow IPC)", "name --format feather"),
    (b"\xff\xff\xff\xff", "an Arrow IPC stream", "name --format feather"),
    (b"FEA1", "a Feather file of version 1", "write it again as version 2, or as Parquet"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it first"),
    (b"\x04\x22\x4d\x18", "an LZ4 file", "unpack it first"),
    (b"\x89HDF", "an HDF5 file", "write it again as Parquet or CSV"),
    (b"SQLite format 3\0", "an SQLite database", "write its rows as Parquet or CSV"),
    (b"%PDF", "a PDF", "check the address it came from"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", "save it as CSV"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a text.

    Attributes:
        text: They, without the end of the last one.
        line: The number of the first.
        count: How many they are.
    """

    text: bytes
    line: int
    count: int


def blocks(
    file: BinaryIO, path: Path, encoding: str | None = None, *, size: int = BLOCK, line: int = 1
) -> Iterator[Block]:
    """The lines of a file, in blocks.

    Args:
        file: The file, open, of which nothing else reads meanwhile.
        path: Where it came from, for errors.
        encoding: What the text is declared to be in. Without it, the text is UTF-8, or UTF-16 or
            UTF-32 that says so by its first bytes; what is not UTF-8 in a text that says nothing is
            left to the caller.
        size: About how many bytes are in a block.
        line: The number of the first line, in errors.

    Raises:
        SourceFormatError: While iterating: the file is empty, no text, not in the encoding, or a
            line is too long; or it can't be unpacked.
    """
    found = _decoded(pieces(file, path), path, encoding)
    first = line
    held: list[bytes] = []
    length = 0
    for piece in found:
        held.append(piece)
        length += len(piece)
        if length < size:
            continue
        body, rest = _cut_last(held)
        held, length = [rest], len(rest)
        if body:
            yield (block := _block(body, line, path))
            line += block.count
        if length > LONGEST and (not body or b"\n" not in rest):
            raise _too_long(line, path)
    body, rest = _cut(b"".join(held), last=True)
    if body:
        yield _block(body, line, path)
    elif rest.strip():
        raise _too_long(line, path)
    elif line == first:
        raise SourceFormatError("the file is empty", where=path, hint="download it again")


def _cut_last(held: list[bytes]) -> tuple[bytes, bytes]:
    """`_cut` of pieces put together, which copies them once where the last has a line's end."""
    last = held[-1]
    newline = last.rfind(b"\n")
    end = newline - 1 if last[newline - 1 : newline] == b"\r" else newline
    if end < 1 or last[end - 1 : end].isspace():
        return _cut(b"".join(held))
    return b"".join([*held[:-1], last[:end]]), last[newline + 1 :]


def _cut(text: bytes, *, last: bool = False) -> tuple[bytes, bytes]:
    """Lines that are whole, without the end of the last one, and what comes after.

    Blank lines at the end are not among them, since the file may end with them; nothing is, where
    there are too many.
    """
    whole = len(text) if last else text.rfind(b"\n") + 1
    tail = text[max(0, whole - LONGEST) : whole]
    used = len(tail.rstrip())
    if not used:
        return b"", text
    end = text.find(b"\n", whole - len(tail) + used)
    if end < 0:
        end = len(text)
    return text[: end - 1 if text[end - 1 : end] == b"\r" else end], text[end + 1 :]


def _block(body: bytes, line: int, path: Path) -> Block:
    """A block of text, if it can be one.

    Raises:
        SourceFormatError: There is a byte in it that no text has.
    """
    at = body.find(b"\0")
    if at >= 0:
        number = line + body.count(b"\n", 0, at)
        raise SourceFormatError(
            f"line {number}: delimited text was expected, and this is binary (a NUL byte)",
            where=path,
            hint="name its format with --format; if it is UTF-16 without a byte order mark, "
            "say --encoding utf-16-le",
        )
    if line == 1 and b"\n" not in body and b"\r" in body:
        raise SourceFormatError(
            "its lines end in a carriage return alone",
            where=path,
            hint="write it again with LF or CRLF at the ends of lines",
        )
    if len(body) > LONGEST and body.find(b"\n", 0, LONGEST) < 0:
        raise _too_long(line, path)
    return Block(body, line, _newlines(body) + 1)


def _newlines(body: bytes) -> int:
    """`body.count`, several times as fast where lines have some tens of bytes."""
    letters = np.frombuffer(body, np.uint8)
    counts = (
        np.count_nonzero(letters[at : at + _CACHED] == _NEWLINE)
        for at in range(0, letters.size, _CACHED)
    )
    return int(sum(counts))


def _too_long(line: int, path: Path) -> SourceFormatError:
    return SourceFormatError(
        f"line {line} should end within {LONGEST} bytes, and so should blank lines, and don't",
        where=path,
        hint="look at what the file holds: no layout has such lines",
    )


def _decoded(found: Iterator[bytes], path: Path, encoding: str | None) -> Iterator[bytes]:
    """UTF-8 without a byte order mark.

    Raises:
        SourceFormatError: While iterating: it is something else than text.
    """
    head, found = peek(found, _HEAD)
    marked = next((name for mark, name in _BOMS if head.startswith(mark)), None)
    if encoding is None and marked is None:
        _look(head, path)
        return found
    if marked == "utf-8-sig" and encoding is None:
        return _without_mark(found, path)
    return _transcoded(found, path, encoding or marked or "utf-8")


def _without_mark(found: Iterator[bytes], path: Path) -> Iterator[bytes]:
    head, found = peek(found, _HEAD)
    _look(head.removeprefix(codecs.BOM_UTF8), path)
    yield next(found).removeprefix(codecs.BOM_UTF8)
    yield from found


def _transcoded(found: Iterator[bytes], path: Path, encoding: str) -> Iterator[bytes]:
    decoder = check_encoding(encoding).incrementaldecoder("strict")
    line, begun = 1, False
    try:
        for piece in found:
            text = decoder.decode(piece)
            if not begun and text:
                text = text.removeprefix("\ufeff")
                _look(text[:_HEAD].encode("utf-8", "replace"), path)
                begun = True
            yield text.encode()
            line += text.count("\n")
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise SourceFormatError(
            f"line {line} or later: the text is not {encoding} ({getattr(error, 'reason', error)})",
            where=path,
            hint="name the encoding it was written in, such as --encoding gbk",
        ) from None


def check_encoding(name: str) -> codecs.CodecInfo:
    """The codec of a declared encoding.

    Raises:
        UsageError: There is none of that name.
    """
    try:
        codec = codecs.lookup(name)
        "".encode(name)  # refuses codecs that are not of text
    except (LookupError, ValueError):
        codec = None
    if codec is None or codec.incrementaldecoder is None:
        raise UsageError(
            f"no encoding is called {name!r}", hint="write it as utf-8, utf-16, gbk or latin-1"
        )
    return codec


def _look(head: bytes, path: Path) -> None:
    """Refuse what its first bytes show to be no delimited text, and say what it is.

    Raises:
        SourceFormatError: They are of something else.
    """
    known = next((words for magic, *words in _LOOKS_LIKE if head.startswith(magic)), None)
    if known is None and head[257:262] == b"ustar":
        known = ["a tar archive", "unpack it and ingest each file on its own"]
    start = head.lstrip()
    what = "an HTML or XML page" if start.startswith(b"<") else "JSON"
    if known is None and (what != "JSON" or _JSON.match(start)):
        hint = "a server's answer may have been saved in place of the file: check the address it "
        known = [f"{what}: {_said(start)}", hint + "came from, and download it again"]
    if known is None and _is_binary(head):
        hint = "it was damaged or cut off on the way, or is packed in a way that isn't known here: "
        known = ["binary", hint + "download it again, or unpack it first"]
    if known is not None:
        raise SourceFormatError(
            f"delimited text was expected, and this is {known[0]}", where=path, hint=known[1]
        )


_JSON = re.compile(rb"[{\[]\s*[\"{\[\]}0-9]")


def _is_binary(head: bytes) -> bool:
    """Whether most of it can be no text, in whatever encoding it may be."""
    with suppress(UnicodeDecodeError):
        codecs.getincrementaldecoder("utf-8")().decode(head)  # which may end inside a character
        return False
    return len(head.translate(None, _PRINTED)) > len(head) / 2


_PRINTED = bytes([9, 10, 13, *range(32, 127)])


def _said(start: bytes) -> str:
    """What a page or JSON says, on one short line."""
    text = start.decode("utf-8", "replace")
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title is not None:
        text = title[1]
    elif text.startswith("<"):
        text = re.sub(r"<[^>]*>", " ", text)
    return shortened(" ".join(html.unescape(text).split())) or "nothing"


def shortened(text: str, length: int = 80) -> str:
    """The beginning of a text that comes from a file, fit for one line of a message."""
    plain = "".join(letter if letter.isprintable() else "�" for letter in text[: length + 1])
    return plain if len(text) <= length else plain[:length] + "…"
