"""A source file as it is opened: its bytes, its hash, its text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from vostok_core.errors import SourceFormatError, UsageError
from vostok_pipelines.sources.packed import packing, pieces
from vostok_pipelines.sources.text import BLOCK, Block, blocks, check_encoding

_FIRST = 1 << 16
"""How much of a text is looked at for its first line."""


@dataclass(frozen=True)
class Notation:
    """How a file is written, where it can't be told from the file itself.

    Attributes:
        separator: What stands between fields, one character.
        decimal: The decimal mark, a point or a comma. There are no marks of thousands.
        encoding: What the text is encoded in; UTF-8 unless its first bytes say UTF-16 or UTF-32.
        skip_lines: Lines before the header, or before the first row.
        sides: What stands for a taker who bought, and for one who sold.

    Raises:
        UsageError: They can't be meant.
    """

    separator: str = ","
    decimal: str = "."
    encoding: str | None = None
    skip_lines: int = 0
    sides: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if len(self.separator) != 1 or not self.separator.isascii() or self.separator in _NEVER:
            raise UsageError(
                f"{self.separator!r} can't stand between fields",
                hint='use one character, such as ";" or "|", or the word tab',
            )
        if self.decimal not in (".", ","):
            raise UsageError(f"{self.decimal!r} is no decimal mark", hint='write "." or ","')
        if self.decimal == self.separator:
            raise UsageError(
                "fields and decimals can't both be separated by a comma",
                hint='say what stands between fields, such as --separator ";"',
            )
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.skip_lines < 0:
            raise UsageError("there are no lines before the first", hint="write 0 or above")
        if self.sides is not None and (len(set(self.sides)) < 2 or not all(self.sides)):
            raise UsageError(
                "the two sides are written alike",
                hint="write what stands for buy and for sell, such as bid/ask",
            )


_NEVER = '"\r\n\0.+-_0123456789' + "".join(map(chr, (*range(65, 91), *range(97, 123))))
"""What is part of fields, quotes them or ends lines."""

PLAIN = Notation()


@dataclass(frozen=True)
class SourceFile:
    """A file's bytes, read once: what is hashed is what is parsed.

    Attributes:
        path: The file.
        data: Its bytes, or lines from the middle of its text.
        line: The number that the first of these lines has in the file; a header is line 1.
        count: How many lines they are, if they are a block as `text.blocks` makes them.
    """

    path: Path
    data: bytes
    line: int = 1
    count: int | None = None

    @classmethod
    def open(cls, path: Path) -> SourceFile:
        """Read a file.

        Raises:
            SourceFormatError: It doesn't exist, is a folder, can't be read, or is empty.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise SourceFormatError(
                "the file doesn't exist", where=path, hint="check the path"
            ) from None
        except IsADirectoryError:
            raise SourceFormatError(
                "this is a folder, not a file", where=path, hint="name the files inside it"
            ) from None
        except OSError as error:
            raise SourceFormatError(
                f"the file can't be read ({error.strerror})", where=path, hint="check its rights"
            ) from None
        if not data[:4096].strip() and not data.strip():
            raise SourceFormatError("the file is empty", where=path, hint="download it again")
        return cls(path, data)

    @classmethod
    def of_block(cls, path: Path, block: Block) -> SourceFile:
        """A block of a file's text, to be read like a file of its own."""
        return cls(path, block.text, block.line, block.count)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the file as it is on disk."""
        return sha256(self.data).hexdigest()

    @cached_property
    def text(self) -> bytes:
        """The text inside, whole, without blank lines at its end.

        Raises:
            SourceFormatError: The packing is damaged or holds several files, or this is no text.
        """
        return b"\n".join(block.text for block in self.blocks())

    def unpacked(self) -> bytes:
        """What the file holds, text or not: the file itself unless it is packed.

        Raises:
            SourceFormatError: The packing is damaged or holds several files.
        """
        return b"".join(pieces(self._file, self.path)) if self.is_packed else self.data

    def beginning(self) -> str:
        """How what the file holds begins, whatever it is.

        Raises:
            SourceFormatError: The packing is damaged from the start, or holds several files.
        """
        return next(pieces(self._file, self.path), b"")[:_FIRST].decode("utf-8", "replace")

    @property
    def is_packed(self) -> bool:
        """Whether it is packed in something that is unpacked here."""
        return self.count is None and packing(self.data[:8]) is not None

    def check_packing(self) -> None:
        """Unpack it to its end.

        Raises:
            SourceFormatError: The packing is damaged somewhere.
        """
        if self.is_packed:
            for _ in pieces(self._file, self.path):
                pass

    @property
    def _file(self) -> BinaryIO:
        return io.BytesIO(self.data)  # shares the bytes

    def blocks(self, encoding: str | None = None, *, size: int = BLOCK) -> Iterator[Block]:
        """The text in blocks of whole lines; see `text.blocks`."""
        if self.count is not None:
            return iter([Block(self.data, self.line, self.count)])
        return blocks(self._file, self.path, encoding, size=size, line=self.line)

    def lines(self, count: int, encoding: str | None = None) -> list[str]:
        """The first lines of the text, or as many as there are.

        Raises:
            SourceFormatError: This is no text, or a line is too long to be a header.
        """
        begun = self.blocks(encoding, size=_FIRST)
        text = next(begun).text
        end = -1
        for _ in range(count):
            end = text.find(b"\n", end + 1)
            if end < 0:
                end = len(text)
                break
        return [line.decode("utf-8", "replace").rstrip("\r") for line in text[:end].split(b"\n")]
