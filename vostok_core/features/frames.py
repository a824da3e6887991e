"""Feature frames: from partitions of bars to partitions of features.

The walk for a day starts at `anchor(day)` and runs forward, so all wanted days of a month come out
of one pass, in whatever order or company they were asked for. Where history begins later than the
anchor, the walk begins with history.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import polars as pl

from vostok_core.errors import MissingPartition
from vostok_core.features.history import BarDays, days_before, walks
from vostok_core.features.inputs import SENTIMENT_FIELDS, matrix
from vostok_core.features.registry import Pack
from vostok_core.features.walk import Stream, anchor, walk
from vostok_core.hashing import hash_value
from vostok_core.lake.store import Lake
from vostok_core.times import parse_interval

BEGINS = "history begins"
"""Key in a partition's inputs: the day its walk began, where that is later than its anchor."""


def feature_frames(
    lake: Lake,
    pack: Pack,
    instrument: str,
    interval: str,
    days: Sequence[date],
    *,
    rules: str | None = None,
) -> Iterator[tuple[date, pl.DataFrame, dict[str, str]]]:
    """The features of the wanted days.

    Args:
        lake: The lake.
        pack: Whose features.
        instrument: Name of the instrument.
        interval: The interval of the bars.
        days: The wanted days, in any order.
        rules: `market.days.rules_of` the instrument as it is declared now; left out, the bars may
            have been made by other rules.

    Yields:
        In order of days: the day, its frame (`ts`, `valid`, then a float64 column per feature) and
        the hashes of what it was computed from (`bars`, for the sentiment pack also `sentiment`:
        all partitions from the anchor through the day; `BEGINS`, where history begins after the
        anchor). Each day is the same, bit for bit, whatever other days are wanted.

    Raises:
        MissingPartition: As in `history.walks`; for the sentiment pack also: a day that is walked
            over has no sentiment.
        StalePartition: As in `market.currency.require_current_bars`.

    One pass a month; memory is the bars and features of a month.
    """
    needed = _fields(pack)
    for wanted, found in walks(
        lake, instrument, interval, days, warmup=pack.warmup, columns=needed, rules=rules
    ):
        bars = found.bars
        rows, sentiment_hashes = pack_rows(lake, pack, instrument, interval, found, bars)
        features = walk(pack, rows)
        places = found.places
        for day in wanted:
            start, count = places[day]
            frame = bars.select("ts", "valid").slice(start, count)
            own = features[start : start + count]
            frame = frame.with_columns(
                pl.Series(name, np.ascontiguousarray(own[:, j]))
                for j, name in enumerate(pack.columns)
            )
            inputs = {"bars": found.hash_through(day)}
            if found.days[0] > anchor(day, pack.warmup, parse_interval(interval)):
                inputs[BEGINS] = str(found.days[0])
            if sentiment_hashes:
                position = found.days.index(day)
                inputs["sentiment"] = hash_value(sentiment_hashes[: position + 1])
            yield day, frame, inputs


def live_stream(lake: Lake, pack: Pack, instrument: str, interval: str, day: date) -> Stream:
    """A stream that has consumed every bar from the anchor of `day` to the end of the day before.

    Fed the bars of `day`, it gives the bits of that day's partition: state needs no snapshot.

    Raises:
        MissingPartition: A day in between has landed and has no bars, or has no sentiment.
        StalePartition: As in `market.currency.require_current_bars`.
    """
    stream = Stream(pack)
    before = days_before(lake, instrument, interval, day, warmup=pack.warmup)
    if before:
        found = BarDays.read(lake, instrument, interval, before, _fields(pack))
        rows, _ = pack_rows(lake, pack, instrument, interval, found)
        stream.replay(rows)
    return stream


def _fields(pack: Pack) -> tuple[str, ...]:
    """The columns of bars that the pack's features are computed from or stored with."""
    return ("ts", "valid") if pack.inputs == "sentiment" else (*pack.fields, "valid")


def _require_sentiment(lake: Lake, instrument: str, walked: Sequence[date]) -> None:
    """Raise if a day that is walked over has no sentiment, with all that has to be made for it."""
    lacking = [
        day for day in walked if not lake.exists("sentiment", instrument=instrument, date=day)
    ]
    if not lacking:
        return
    first, last = lacking[0], lacking[-1]
    unscored = [
        day
        for day in walked
        if first <= day <= last and not lake.exists("sentiment_scores", date=day)
    ]
    said = [f"`vostok materialize sentiment --instrument {instrument} --from {first} --to {last}`"]
    if unscored:
        said.insert(
            0,
            f"`vostok materialize news,sentiment_scores --from {unscored[0]} --to {unscored[-1]}`",
        )
    raise MissingPartition(
        f"{instrument} has no sentiment on {len(lacking)} days from {first} to {last}, and "
        f"features of {walked[-1]} walk over every day from {walked[0]} on",
        where=lake.root,
        hint=f"run {', then '.join(said)} first",
    )


def pack_rows(
    lake: Lake,
    pack: Pack,
    instrument: str,
    interval: str,
    found: BarDays,
    bars: pl.DataFrame | None = None,
) -> tuple[np.ndarray, list[str]]:
    """The rows that the pack's kernels see, and the hashes of the sentiment in them.

    Args:
        lake: The lake.
        pack: The pack.
        instrument: Its name.
        interval: The interval of the bars.
        found: The days, with the columns that the pack needs.
        bars: `found.bars`, where it is at hand.

    Raises:
        MissingPartition: The pack reads sentiment, and a day has none.
    """
    bars = found.bars if bars is None else bars
    if pack.inputs == "bars":
        return matrix(bars, pack.fields), []
    _require_sentiment(lake, instrument, found.days)
    frames = []
    hashes = []
    for info, frame in lake.load_days(
        "sentiment", found.days, columns=SENTIMENT_FIELDS, instrument=instrument
    ):
        frames.append(frame)
        hashes.append(info.content_hash)
    ends = bars["ts"].to_physical().to_numpy()
    return sentiment_rows(ends, parse_interval(interval), pl.concat(frames)), hashes


def sentiment_rows(ends: np.ndarray, interval_us: int, sentiment: pl.DataFrame) -> np.ndarray:
    """Minutes of sentiment summed onto bars: a bar gets the minutes that end in (start, end].

    Args:
        ends: Ends of the bars, int64 microseconds, increasing.
        interval_us: Length of a bar.
        sentiment: Rows of the table `sentiment`, in order.

    Returns:
        As `sum_onto_bars`.
    """
    return sum_onto_bars(ends, interval_us, matrix(sentiment, SENTIMENT_FIELDS))


def sum_onto_bars(ends: np.ndarray, interval_us: int, minutes: np.ndarray) -> np.ndarray:
    """`sentiment_rows` of minutes as a matrix; those that are all zeros may be left out.

    Args:
        ends: Ends of the bars, int64 microseconds, increasing.
        interval_us: Length of a bar.
        minutes: Float64, shape (minutes, 4), columns `SENTIMENT_FIELDS`, in order of time.

    Returns:
        Shape (bars, 4), columns `SENTIMENT_FIELDS`; sums run in order of time.
    """
    at = minutes[:, 0].astype(np.int64)
    rows = np.zeros((len(ends), len(SENTIMENT_FIELDS)))
    rows[:, 0] = ends
    bar = np.searchsorted(ends, at, side="left")
    inside = bar < len(ends)
    inside[inside] = at[inside] > ends[bar[inside]] - interval_us
    for column in range(1, len(SENTIMENT_FIELDS)):
        np.add.at(rows[:, column], bar[inside], minutes[inside, column])
    return rows
