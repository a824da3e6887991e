"""Trades of a day as they come, kept on disk until the day is whole.

A day that is being fetched is a folder of numbered chunks, each written beside and renamed in. A
killed backfill leaves whole chunks, and the next one goes on behind the newest. Whole, the day
becomes one file and its folder goes.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import polars as pl

from vostok_core.errors import FetchError
from vostok_core.lake.atomic import replacing
from vostok_core.market.instrument import InstrumentId
from vostok_pipelines.rest.paging import OVERLAP
from vostok_pipelines.rest.trades import SCHEMA, Trade, frame_of, trades_of

FORMAT = 1
"""Version of the chunks; those of another one are thrown away."""

SECONDS = 5.0
"""Trades that have been in memory for so long become a chunk."""

_ROWS = 50_000  # as do so many
_TAIL = 10 * OVERLAP  # how far back a pager may have to know what there is
_MADE = "made.json"


class DayFolder:
    """The chunks of one day that is being fetched.

    Args:
        folder: Where they lie.
        made: What they depend on: chunks of anything else are thrown away.
        seconds: How long a trade is in memory alone.
    """

    def __init__(self, folder: Path, made: str, *, seconds: float = SECONDS) -> None:
        self._folder = folder
        self._made = json.dumps({"format": FORMAT, "of": made})
        self._seconds = seconds
        self._waiting: list[Trade] = []
        self._since = time.monotonic()
        self._number = 0
        self.rows = 0

    def resume(self) -> list[Trade]:
        """The newest trades that were kept, as many as a pager needs to go on."""
        marker = self._folder / _MADE
        if not marker.exists() or marker.read_text() != self._made:
            self.remove()
            with replacing(marker) as temporary:
                temporary.write_text(self._made)
        self._number = self.rows = 0
        tail = frame_of(())
        while (chunk := self._read(self._number)) is not None:
            self._number += 1
            self.rows += chunk.height
            tail = pl.concat([tail, chunk])
            oldest = pl.col("ts").max() - pl.duration(microseconds=_TAIL)
            last = pl.int_range(pl.len()) == pl.len() - 1  # by ids, the newest
            tail = tail.filter((pl.col("ts") >= oldest) | last)
        for path in self._folder.glob("*.parquet"):
            if path.stem >= f"{self._number:06d}":  # behind one that doesn't read
                path.unlink()
        return trades_of(tail)

    def add(self, trades: Sequence[Trade]) -> None:
        """Keep further trades; those before them may be written down."""
        self._waiting += trades
        self.rows += len(trades)
        if len(self._waiting) >= _ROWS or time.monotonic() - self._since >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write down what is in memory."""
        if self._waiting:
            with replacing(self._chunk(self._number)) as temporary:
                frame_of(self._waiting).write_parquet(temporary, compression="zstd")
            self._number += 1
            self._waiting = []
        self._since = time.monotonic()

    def frame(self) -> pl.DataFrame:
        """All trades, in the order in which they came."""
        self.flush()
        found = [pl.read_parquet(self._chunk(k)) for k in range(self._number)]
        return pl.concat(found) if found else frame_of(())

    def remove(self) -> None:
        """Throw the chunks away."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _chunk(self, number: int) -> Path:
        return self._folder / f"{number:06d}.parquet"

    def _read(self, number: int) -> pl.DataFrame | None:
        path = self._chunk(number)
        try:
            chunk = pl.read_parquet(path) if path.exists() else None
        except (pl.exceptions.PolarsError, OSError):
            return None  # as a power cut may leave one
        return chunk if chunk is not None and chunk.schema == pl.Schema(SCHEMA) else None


class DayFiles:
    """The days that have come whole, one file each.

    Args:
        root: The folder of all instruments.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def held(self, instrument: InstrumentId) -> Iterator[None]:
        """Hold the days of an instrument: one process at a time fetches them.

        Raises:
            FetchError: Another one does.
        """
        folder = self._root / str(instrument)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FetchError(
                    f"days of {instrument} are being fetched by another process",
                    where=folder,
                    hint="let it end, and ask again",
                ) from None
            yield

    def unfinished(
        self, instrument: InstrumentId, day: date, made: str, *, seconds: float = SECONDS
    ) -> DayFolder:
        """The chunks of a day; `made` and `seconds` are those of `DayFolder`."""
        return DayFolder(self._root / str(instrument) / f"{day}.part", made, seconds=seconds)

    def days(self, instrument: InstrumentId) -> list[date]:
        """The days that are there, in order."""
        found = (self._root / str(instrument)).glob("????-??-??.parquet")
        return sorted(date.fromisoformat(path.stem) for path in found)

    def write(self, instrument: InstrumentId, day: date, trades: pl.DataFrame) -> None:
        """Put a whole day in place."""
        with replacing(self._file(instrument, day)) as temporary:
            trades.write_parquet(temporary, compression="zstd")

    def read(self, instrument: InstrumentId, day: date) -> pl.DataFrame:
        """The trades of a day that is there.

        Raises:
            FetchError: The file doesn't read.
        """
        path = self._file(instrument, day)
        try:
            return pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise FetchError(
                f"what was fetched of the day doesn't read ({str(error).splitlines()[0]})",
                where=path,
                hint="delete that file, and fetch the day again",
            ) from None

    def remove(self, instrument: InstrumentId, day: date) -> None:
        """Take a day away."""
        self._file(instrument, day).unlink(missing_ok=True)

    def _file(self, instrument: InstrumentId, day: date) -> Path:
        return self._root / str(instrument) / f"{day}.parquet"
