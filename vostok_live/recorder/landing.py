"""A segment becomes parts of the lake: whole, once, and then it is put away.

Its parts are named for it, so that a landing that was killed is simply done again: what it has
written is written over with the same. Only when all is there the segment goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from vostok_core.errors import VostokError
from vostok_core.hashing import canonical_json, hash_file
from vostok_core.lake.recorder_folder import SUFFIX, segments
from vostok_core.lake.store import Lake
from vostok_core.market.days import RECORDED, RECORDING_VERSION, REPAIR
from vostok_core.market.instrument import Instrument
from vostok_core.market.parts import write_recorded
from vostok_live.recorder.errors import RecorderError
from vostok_live.recorder.rows import Landed, SegmentRows
from vostok_live.recorder.segment import lines, opened, put_away, taken

_SEAM = "fetched by id: the streams of the recording had missed them"
_SEAM_PART = "seam"


@dataclass(frozen=True)
class Landing:
    """What was landed of a segment or of a capture.

    Attributes:
        path: The file.
        lines: That it has.
        other: Events of other symbols in it, which were left out.
        rows: Rows by table, `seam` those of `raw_trades` that were fetched.
        days: Days that they are of.
    """

    path: Path
    lines: int
    other: int
    rows: dict[str, int]
    days: tuple[date, ...]


def land_segments(lake: Lake, instrument: Instrument, folder: Path, *, keep: bool) -> list[Landing]:
    """Land every segment of an instrument that nobody writes.

    Args:
        lake: Where to.
        instrument: Whose they are.
        folder: Where they lie.
        keep: Whether they are kept afterwards, compressed.

    Raises:
        VostokError: One can't be read, landed or put away. The others have landed.
    """
    landed: list[Landing] = []
    failed: VostokError | None = None
    for path in segments(folder):
        try:
            with taken(path) as file:
                if file is None:
                    continue
                rows = SegmentRows(instrument, path.name.removesuffix(SUFFIX))
                rows.read(lines(file))
                _check_kind(rows, instrument, path)
                landed.append(_write(lake, instrument, path, rows))
                put_away(path, keep=keep)
        except (OSError, pl.exceptions.PolarsError) as error:
            said = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            failed = failed or RecorderError(
                f"what was recorded can't be landed ({said})",
                where=getattr(error, "filename", None) or lake.root,
                hint="see that the lake can be written and its disk has room; what was recorded "
                "is kept until it has landed",
            )
        except VostokError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return landed


def land_capture(lake: Lake, instrument: Instrument, path: Path) -> Landing:
    """Land a capture in the layout of a segment: `<nanoseconds> <frame>` on each line.

    Its parts are named by its content, so that landing it again changes nothing.

    Args:
        lake: Where to.
        instrument: Whose trades and book it holds; what is of others is left out.
        path: The file, which may be compressed by gzip.

    Raises:
        RecorderError: It can't be read, or holds nothing of the instrument.
    """
    with opened(path) as file:
        rows = SegmentRows(instrument, hash_file(path)[:16])
        rows.read(lines(file))
    _check_kind(rows, instrument, path)
    if not rows.useful:
        raise RecorderError(
            f"none of its {rows.lines} lines is about {instrument.id.symbol}",
            where=path,
            hint="a capture has a time in nanoseconds and a frame of the exchange on each line, "
            'such as 1723161254087891268 {"stream":"btcusdt@trade","data":{"e":"trade", ...}}',
        )
    return _write(lake, instrument, path, rows)


def _check_kind(rows: SegmentRows, instrument: Instrument, path: Path) -> None:
    """See that trades are of the kind that the instrument's are: ids of the two don't mix.

    Raises:
        RecorderError: They aren't.
    """
    other = "trade" if instrument.tick == "agg_trade" else "agg_trade"
    if rows.tick == other or (rows.other_kind and not rows.trades):
        raise RecorderError(
            f"{other}s were recorded, and a tick of {instrument.id} is declared as "
            f"{instrument.tick}",
            where=path,
            hint=f'say tick = "{other}" in vostok.toml, at least until this has landed',
        )


def _write(lake: Lake, instrument: Instrument, path: Path, rows: SegmentRows) -> Landing:
    counts = dict.fromkeys(("raw_trades", _SEAM_PART, "raw_quotes", "raw_depth", "recordings"), 0)
    days = []
    for day, landed in rows.days():
        days.append(day)
        _write_trades(lake, instrument, day, rows.name, landed)
        counts["raw_trades"] += landed.trades.height
        counts[_SEAM_PART] += landed.seam.height
        for name, frame in (
            ("raw_quotes", landed.quotes),
            ("raw_depth", landed.depth),
            ("recordings", landed.recordings),
        ):
            counts[name] += frame.height
            if frame.height:
                lake.write(
                    name,
                    frame,
                    code_version=RECORDING_VERSION,
                    inputs={"segment": rows.name},
                    part=rows.name,
                    instrument=str(instrument.id),
                    date=day,
                )
    return Landing(path, rows.lines, rows.other, counts, tuple(days))


def _write_trades(
    lake: Lake, instrument: Instrument, day: date, segment: str, landed: Landed
) -> None:
    """The trades of the streams and those that were fetched, as parts of their own."""
    about = {"segment": segment, "seams": landed.seams}
    seam = {REPAIR: _SEAM}
    for part, frame, more in (
        (segment, landed.trades, {}),
        (f"{segment}-{_SEAM_PART}", landed.seam, seam),
    ):
        if frame.height:
            provenance = {RECORDED: canonical_json(about)} | more
            write_recorded(lake, instrument, day, frame, part, provenance)
