"""What a file is packed in, told by its content and never by its name.

A packing is unpacked as a stream, a piece at a time, so that the text of a large file never lies in
memory as a whole. What is packed twice (a gzip inside a zip, a gzip of a gzip) is unpacked twice. A
zip is read whole, so it can only be the outermost packing.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from isal import igzip_lib, isal_zlib  # inflates at more than twice the speed of zlib

from vostok_core.errors import SourceFormatError

PIECE = 1 << 18
"""Most bytes that one step of unpacking takes in or yields; what fits the cache goes fastest."""

BOMB_FLOOR = 64 << 20
BOMB_RATIO = 200
"""What unpacks to more than both the floor and this many times its size is refused: market data in
text pack to between a third and a fiftieth."""

_USUAL_RATIO = 8  # of text to what it is packed into, where only its end would tell
_DEEPEST = 3  # times that something is unpacked
_MAGIC = 8  # bytes that tell what something is packed in
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_ENCRYPTED = 0x1
_LOCAL_HEADER = 30


def pieces(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """What a file holds, unpacked, in pieces that are not empty.

    Args:
        file: The file, open, of which nothing else reads meanwhile.
        path: Where it came from, for errors.

    Raises:
        SourceFormatError: At once or while iterating: the packing is cut off or damaged, holds
            several files, or holds far more than its size lets expect.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    found: Iterator[bytes] = iter(lambda: file.read(PIECE), b"")
    for depth in range(_DEEPEST + 1):
        head, found = peek(found, _MAGIC)
        kind = packing(head)
        if kind is None:
            return found
        if depth and kind == "zip":
            raise SourceFormatError(
                "a zip archive lies inside another packing", where=path, hint="unpack it first"
            )
        if depth == _DEEPEST:
            raise SourceFormatError(
                f"it is packed more than {_DEEPEST} times over", where=path, hint="unpack it first"
            )
        found = _unzipped(file, path) if kind == "zip" else _STREAMS[kind](found, path)
        found = _limited(found, size, path)
    raise AssertionError("unreachable: the last round returns or raises")


def unpacked_size(file: BinaryIO) -> int:
    """About how many bytes a file unpacks to; 0 for what can't be unpacked.

    Args:
        file: The file, open; it is left off anywhere.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    kind = packing(file.read(_MAGIC))
    if kind != "zip":
        return size * (1 if kind is None else _USUAL_RATIO)
    try:
        with zipfile.ZipFile(file) as archive:
            return sum(member.file_size for member in archive.infolist())
    except _ZIP_ERRORS:
        return 0


def packing(head: bytes) -> str | None:
    """What some first bytes are packed in, if in something that is unpacked."""
    if head.startswith(_ZIP):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if head.startswith(b"BZh") and head[3:4] in b"123456789" and head[4:8] in _BZIP2_BLOCKS:
        return "bzip2"
    return "xz" if head.startswith(b"\xfd7zXZ\x00") else None


_BZIP2_BLOCKS = (b"1AY&", b"\x17rE8")
"""How the first block, or the end of an empty stream, begins."""


def peek(found: Iterator[bytes], count: int) -> tuple[bytes, Iterator[bytes]]:
    """At least the first bytes of a stream, if it has so many, and the whole stream again."""
    head = b""
    while len(head) < count:
        piece = next(found, None)
        if piece is None:
            break
        head += piece
    return head, _again(head, found)


def _again(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def _limited(found: Iterator[bytes], size: int, path: Path) -> Iterator[bytes]:
    total = 0
    for piece in found:
        total += len(piece)
        if total > max(BOMB_FLOOR, BOMB_RATIO * size):
            raise SourceFormatError(
                f"it unpacks to more than {BOMB_RATIO} times its {size} bytes",
                where=path,
                hint="market data don't pack so well: look at what it holds, and unpack it first "
                "if it is meant so",
            )
        yield piece


def _damaged(kind: str, why: object, path: Path) -> SourceFormatError:
    return SourceFormatError(
        f"the {kind} is truncated or damaged ({why})", where=path, hint="download it again"
    )


# zipfile parses what may be anything, and says so in many ways.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    igzip_lib.IsalError,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)


def _unzipped(file: BinaryIO, path: Path) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(file) as archive:
            member = _only_member(archive, path)
            if member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                yield from _member(file, member, path)
                return
            with archive.open(member) as text:
                while piece := text.read(PIECE):
                    yield piece
    except NotImplementedError as error:
        raise SourceFormatError(
            f"the zip is packed in a way that isn't known here ({error})",
            where=path,
            hint="unpack it first",
        ) from None
    except _ZIP_ERRORS as bad:
        raise _damaged("zip", bad, path) from None


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if not _is_litter(member)]
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:3]) or "none"
        raise SourceFormatError(
            f"the zip holds {len(members)} files ({names[:200]}) instead of one",
            where=path,
            hint="unpack it and ingest each file on its own",
        )
    (member,) = members
    if member.flag_bits & _ENCRYPTED:
        raise SourceFormatError(
            f"the file in the zip ({member.filename[:100]}) is encrypted",
            where=path,
            hint="unpack it first",
        )
    return member


def _is_litter(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a folder, or what macOS adds to every zip."""
    return member.is_dir() or member.filename.startswith("__MACOSX/")


def _member(file: BinaryIO, member: zipfile.ZipInfo, path: Path) -> Iterator[bytes]:
    """A stored or deflated member, checked as zipfile checks it, without its small reads."""
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or not header.startswith(_ZIP[0]):
        raise _damaged("zip", "a file's header is not where the list of files says", path)
    file.seek(int.from_bytes(header[26:28], "little"), io.SEEK_CUR)
    file.seek(int.from_bytes(header[28:30], "little"), io.SEEK_CUR)
    found = _read(file, member.compress_size)
    if member.compress_type == zipfile.ZIP_DEFLATED:
        found = _deflated(found, path)
    check, size = 0, 0
    for piece in found:
        check, size = isal_zlib.crc32(piece, check), size + len(piece)
        if size > member.file_size:
            break
        yield piece
    if size != member.file_size or check != member.CRC:
        raise _damaged("zip", f"{member.filename[:100]} is not what its checksum says", path)


def _read(file: BinaryIO, size: int) -> Iterator[bytes]:
    """So many bytes of a file from where it stands, or as many as there are."""
    while size > 0 and (piece := file.read(min(PIECE, size))):
        yield piece
        size -= len(piece)


def _deflated(found: Iterator[bytes], path: Path) -> Iterator[bytes]:
    inflate = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
    for packed in found:
        rest = packed
        while not inflate.eof and (rest or not inflate.needs_input):
            if piece := inflate.decompress(rest, PIECE):
                yield piece
            rest = b""
    if not inflate.eof:
        raise _damaged("zip", "the file in it ends too soon", path)


class _Decompressor(Protocol):
    """What the standard library's decompressors have, and those made after them."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _unpacked_by(
    kind: str, start: Callable[[], _Decompressor]
) -> Callable[[Iterator[bytes], Path], Iterator[bytes]]:
    """A packing whose streams may follow one another, with zeros after the last as tapes have."""

    def unpacked(found: Iterator[bytes], path: Path) -> Iterator[bytes]:
        stream, begun = start(), False
        try:
            for packed in found:
                rest = packed if begun else packed.lstrip(b"\0")
                while rest or (begun and not stream.needs_input):
                    if piece := stream.decompress(rest, PIECE):
                        yield piece
                    rest, begun = b"", True
                    if stream.eof:
                        rest = stream.unused_data.lstrip(b"\0")
                        stream, begun = start(), False
        except (OSError, EOFError, ValueError, lzma.LZMAError, igzip_lib.IsalError) as bad:
            raise _damaged(f"{kind} file", bad, path) from None
        if begun:
            raise _damaged(f"{kind} file", "it ends too soon", path)

    return unpacked


class _Piped(io.RawIOBase):
    """Pieces as a file that is read from beginning to end."""

    def __init__(self, found: Iterator[bytes]) -> None:
        self._found = found
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            piece = next(self._found, None)
            if piece is None:
                break
            self._rest += piece
        end = len(self._rest) if size < 0 else size
        taken, self._rest = self._rest[:end], self._rest[end:]
        return taken


def _unzstd(found: Iterator[bytes], path: Path) -> Iterator[bytes]:
    # Arrow brings Zstandard; imported here, since most files need none of it.
    import pyarrow as pa

    try:
        packed = pa.PythonFile(_Piped(found), mode="r")
        with pa.CompressedInputStream(packed, "zstd") as stream:
            while piece := stream.read(PIECE):
                yield piece
    except (OSError, pa.ArrowException) as bad:
        raise _damaged("Zstandard file", str(bad).splitlines()[0], path) from None


_STREAMS: dict[str, Callable[[Iterator[bytes], Path], Iterator[bytes]]] = {
    "gzip": _unpacked_by("gzip", lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)),
    "zstd": _unzstd,
    "bzip2": _unpacked_by("bzip2", bz2.BZ2Decompressor),
    "xz": _unpacked_by("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 30)),
}
