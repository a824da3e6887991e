"""The journal, day by day, into the tables `live_*` of the lake.

There the pipeline tells everything again (`vostok_core.live.parity`). A day is shipped whole: a
table in which nothing happened is there and empty. What has been shipped before and is the same is
left alone, so that shipping may be repeated at any time, also while the daemon writes. A daemon
that was away for days writes down the bars of all of them when it starts, so what has come since
the last shipping is told by what the lake has, not by the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vostok_core.errors import BundleError
from vostok_core.features.inputs import SENTIMENT_FIELDS
from vostok_core.hashing import hash_frame
from vostok_core.lake.objects import UNWRITTEN
from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME, table
from vostok_core.market.bars import BAR_FIELDS
from vostok_core.models.bundle_folder import read_manifest
from vostok_core.models.folders import is_there
from vostok_core.models.registry import kept_path
from vostok_core.times import day_of
from vostok_live.errors import JournalError
from vostok_live.journal.reader import Reader
from vostok_live.journal.rows import Columns, Run, previous_to_text, to_text

CODE_VERSION = "2"
"""Changes whenever the same journal makes other rows."""

Shipment = tuple[str, date, pl.DataFrame]
"""A table, a day, and its rows."""

_RENAMED = {
    "wall_us": "wall_ts",
    "seen_us": "seen_ts",
    "sent_us": "sent_ts",
    "answered_us": "answered_ts",
}
"""Times that the journal keeps as microseconds, and the lake as times."""

_DAY = timedelta(days=1)
_LATELY = 3
"""Days that are read again in any case: the one that goes on, the one that is over, one more."""
_DOUBLE = np.dtype("<f8")


def ship(
    journal: Path,
    lake: Lake,
    strategy: str,
    instrument: str,
    days: Iterable[date] | None = None,
) -> list[PartitionInfo]:
    """Write what a journal says of some days into the lake.

    The journal is read as it stands when this begins, whoever writes it meanwhile. The same journal
    makes the same content, and a partition whose content is the same is not written again. Starts
    of the daemon are always shipped: they are few, and the days after them can't be told again
    without them.

    Args:
        journal: Path of the journal.
        lake: The lake that the daemon trades from: it holds the bundles that the journal names.
        strategy: Name of the strategy.
        instrument: Name of the instrument.
        days: Days of market time, shipped with the day after each as far as that has come: the
            engine hears of a day's last bar after midnight. By default each of which there is
            anything.

    Returns:
        The partitions that were written; none where nothing has changed.

    Raises:
        JournalError: There is no journal, it can't be read, or it is of another strategy or
            instrument.
        BundleError: The lake lacks a bundle that a row of the journal was made by.
    """
    with lake.sole_writer("live_runs"), Reader.open(journal) as reader:
        frames = _whole(reader, lake, strategy, instrument, _wanted(reader, days))
        return _put_all(reader, lake, strategy, instrument, frames)


def ship_changed(journal: Path, lake: Lake, strategy: str, instrument: str) -> list[PartitionInfo]:
    """Write what has come into a journal since it was shipped: as `ship` does, and cheaply.

    Most tables only grow. A day of them is read where the journal has another number of its rows
    than the lake, of whatever day the daemon wrote lately. Trades are not counted: they come with
    cuts, of their own day or, where one was stamped before midnight, of the next. Orders, requests
    and fills, whose rows change for as long as an order stands, are few, and read of every day.

    Args, returns and raises: as `ship`.
    """
    with lake.sole_writer("live_runs"), Reader.open(journal) as reader:
        days = reader.days()
        changed = {day for day in days if not _as_many(reader, lake, strategy, instrument, day)}
        before = {day - _DAY for day in changed} & set(days)
        due = sorted(changed | before | set(days[-_LATELY:]))
        frames = _whole(reader, lake, strategy, instrument, due)
        others = (
            (name, day, frame)
            for day in days
            if day not in due
            for name, frame in _orders(reader, day)
        )
        return _put_all(reader, lake, strategy, instrument, chain(frames, others))


def _as_many(reader: Reader, lake: Lake, strategy: str, instrument: str, day: date) -> bool:
    """Whether the lake has as many rows of a day as the journal, and of this journal."""
    created = str(reader.created_us())
    for name, count in reader.counts(strategy, instrument, day).items():
        keys: dict[str, Any] = {"strategy": strategy, "instrument": instrument, "date": day}
        there = next(iter(lake.parts(f"live_{name}", **keys)), None)
        if there is None:
            return False
        ours = there.inputs.get("journal") == created or not count
        if not ours or (there.code_version, there.rows) != (CODE_VERSION, count):
            return False
    return True


def _put_all(
    reader: Reader, lake: Lake, strategy: str, instrument: str, frames: Iterable[Shipment]
) -> list[PartitionInfo]:
    """Write the starts and some frames; those that were written.

    Raises:
        JournalError: The journal is of another strategy or instrument.
    """
    runs = reader.runs()
    _check_owner(runs, strategy, instrument, reader.path)
    inputs = {"journal": str(reader.created_us()), "seq": str(reader.seq)}
    keys = {"strategy": strategy, "instrument": instrument}
    written = (
        _put(lake, name, frame, inputs, keys, day)
        for name, day, frame in chain(_starts(reader, runs), frames)
    )
    return [info for info in written if info is not None]


def _whole(
    reader: Reader, lake: Lake, strategy: str, instrument: str, days: Iterable[date]
) -> Iterator[Shipment]:
    """Every table of some days but that of starts."""
    for day in days:
        for name, frame in _day(reader, lake, strategy, instrument, day):
            yield name, day, frame


def _wanted(reader: Reader, days: Iterable[date] | None) -> list[date]:
    """The days to ship."""
    there = set(reader.days())
    if days is None:
        return sorted(there)
    asked = set(days)
    return sorted(asked | {day + _DAY for day in asked} & there)


def _check_owner(runs: Sequence[Run], strategy: str, instrument: str, journal: Path) -> None:
    owners = {(run.start.strategy, run.start.instrument) for run in runs}
    others = sorted(owners - {(strategy, instrument)})
    if others:
        of = " and ".join(f"{name} on {market}" for name, market in others)
        raise JournalError(
            f"the journal is of {of}, not of {strategy} on {instrument}",
            where=journal,
            hint="name the strategy and the instrument that the daemon of this state folder trades",
        )


def _put(
    lake: Lake,
    name: str,
    frame: pl.DataFrame,
    inputs: Mapping[str, str],
    keys: Mapping[str, str],
    day: date,
) -> PartitionInfo | None:
    """Write a partition, unless it is there with the same content."""
    frame = frame.rechunk()
    there = next(iter(lake.parts(name, **keys, date=day)), None)
    if there is not None and (there.content_hash, there.code_version) == (
        hash_frame(frame),
        CODE_VERSION,
    ):
        return None
    return lake.write(
        name,
        frame,
        code_version=CODE_VERSION,
        inputs=inputs,
        over=UNWRITTEN if there is None else there.tag,
        strategy=keys["strategy"],
        instrument=keys["instrument"],
        date=day,
    )


def _starts(reader: Reader, runs: Sequence[Run]) -> Iterator[Shipment]:
    """Starts of the daemon, by the day from which on their bars are the journal's."""
    by_day: dict[date, list[Run]] = {}
    for run in runs:
        by_day.setdefault(day_of(run.start.begins.begin_us), []).append(run)
    for day, of_day in sorted(by_day.items()):
        rows = [_start(reader, run) for run in of_day]
        frame = _frame("live_runs", {name: [row[name] for row in rows] for name in rows[0]})
        yield "live_runs", day, frame


def _start(reader: Reader, run: Run) -> dict[str, object]:
    start, begins = run.start, run.start.begins
    return {
        "run": run.run,
        "seq": run.seq,
        "ts": begins.begin_us,
        "wall_us": run.wall_us,
        "version": start.version,
        "engine_version": run.engine_version,
        "configuration": start.configuration,
        "bundle": start.bundle,
        "name": start.config.run,
        "config": to_text(start.config.to_json()),
        "rules": to_text(start.rules.to_json()),
        "interval": begins.interval,
        "next_id": begins.next_id,
        "previous": previous_to_text(begins.previous),
        "history": begins.history,
        "elsewhere": f"{begins.elsewhere:f}",
        "speed": start.speed,
        "decide_within": start.decide_within,
        "cut_before": run.cut_before,
        "trade_before": run.trade_before,
        "engine": to_text(reader.snapshot_at(run.seq)),
    }


def _day(
    reader: Reader, lake: Lake, strategy: str, instrument: str, day: date
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Every table of a day but that of starts, a frame at a time."""
    yield "live_ticks", _frame("live_ticks", reader.read_ticks(instrument, day))
    yield "live_cuts", _frame("live_cuts", reader.read_cuts(instrument, day))
    yield "live_steps", _steps(lake, reader.read_steps(strategy, instrument, day), reader.path)
    yield "live_events", _frame("live_events", reader.read_events(day))
    yield "live_commands", _frame("live_commands", reader.read_commands(day))
    yield from _orders(reader, day)
    yield "live_news", _frame("live_news", reader.read_news(day))
    yield "live_alerts", _frame("live_alerts", reader.read_alerts(day))
    yield "live_controls", _frame("live_controls", reader.read_controls(day))


def _orders(reader: Reader, day: date) -> Iterator[tuple[str, pl.DataFrame]]:
    """What became of the orders of a day, and its fills: the tables whose rows change."""
    orders = reader.read_orders(day)
    orders["heard_ts"] = orders.pop("wall_us")
    yield "live_orders", _frame("live_orders", orders)
    yield "live_requests", _frame("live_requests", reader.read_requests_about(day))
    yield "live_fills", _frame("live_fills", reader.read_fills(day))


def _frame(name: str, found: Mapping[str, Sequence[Any] | np.ndarray]) -> pl.DataFrame:
    """Columns of the journal as rows of a table."""
    schema = table(name).schema
    columns = {_RENAMED.get(key, key): values for key, values in found.items()}
    return pl.DataFrame(
        [
            pl.Series(key, columns[key], dtype=pl.Int64 if dtype == TIME else dtype).cast(dtype)
            for key, dtype in schema.items()
        ]
    )


def _steps(lake: Lake, found: Columns, journal: Path) -> pl.DataFrame:
    """Steps with their doubles in columns: those of the bar, of sentiment, and the features that
    the bundles of the day name."""
    height = len(found["run"])
    bars = _doubles(found.pop("bar"), BAR_FIELDS, journal)
    none = np.full(len(SENTIMENT_FIELDS), np.nan).tobytes()
    said = [none if blob is None else blob for blob in found.pop("sentiment")]
    sentiment = _doubles(said, SENTIMENT_FIELDS, journal)
    blobs = found.pop("features")
    doubles = {f"bar_{name}": bars[:, k] for k, name in enumerate(BAR_FIELDS)}
    doubles |= {f"sentiment_{name}": sentiment[:, k] for k, name in enumerate(SENTIMENT_FIELDS)}
    frame = _frame("live_steps", {**found, **doubles})
    columns: dict[str, np.ndarray] = {}
    for bundle in sorted(set(found["bundle"])):
        own = [k for k in range(height) if found["bundle"][k] == bundle]
        names = _features(lake, bundle, journal)
        values = _doubles([blobs[k] for k in own], names, journal)
        for k, name in enumerate(names):
            column = columns.setdefault(name, np.full(height, np.nan))
            column[own] = values[:, k]
    return frame.with_columns(pl.Series(name, column) for name, column in columns.items())


def _features(lake: Lake, bundle: str, journal: Path) -> tuple[str, ...]:
    """The columns that a bundle names.

    Raises:
        BundleError: The lake lacks the bundle.
    """
    folder = kept_path(lake, bundle)
    if not is_there(folder):
        raise BundleError(
            f"the journal's features are those of the bundle {bundle[:12]}, which isn't there",
            where=folder,
            hint=f"ship {journal} to the lake that its daemon trades from, or copy the bundle's "
            "folder",
        )
    manifest, _ = read_manifest(folder)
    taken = sorted(set(manifest.features) & set(table("live_steps").schema))
    if taken:
        raise BundleError(
            f"the features {', '.join(taken)} are named like columns of live_steps",
            where=folder,
            hint="rename the features in their pack, and train the model again",
        )
    return manifest.features


def _doubles(blobs: Sequence[bytes], names: Sequence[str], journal: Path) -> np.ndarray:
    """Bytes of float64 as a matrix, shape (blobs, names).

    Raises:
        JournalError: A row has another width.
    """
    width = len(names) * _DOUBLE.itemsize
    wrong = next((len(blob) for blob in blobs if len(blob) != width), None)
    if wrong is not None:
        raise JournalError(
            f"a row of {wrong} bytes stands where {len(names)} doubles belong",
            where=journal,
            hint="ship with the version of Vostok that wrote the journal",
        )
    return np.frombuffer(b"".join(blobs), dtype=_DOUBLE).reshape(len(blobs), len(names))
