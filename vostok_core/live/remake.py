"""What a run made of its bars, made again in batch: sentiment, features, events, probabilities.

The functions are those that partitions are made by: packs walk from their month's anchor in one
pass, events are flagged over a whole frame, and a model scores all rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from vostok_core.errors import DataError
from vostok_core.features.frames import sentiment_rows
from vostok_core.features.inputs import CLOSE, SENTIMENT_FIELDS, TS
from vostok_core.features.reading import chosen_columns, memory, settled
from vostok_core.features.registry import Pack, pack
from vostok_core.features.walk import anchor, walk
from vostok_core.labels.barriers import horizon_sigma
from vostok_core.labels.events import event_anchor, flag_events, volatility_pack
from vostok_core.lake.tables import TIME, table
from vostok_core.live.chain import first_day
from vostok_core.live.retell import ToldBars, lake_bars, tell_bars, walked_days
from vostok_core.live.sentiment import rows_for
from vostok_core.live.shipped import Beginning, Shipped
from vostok_core.market.instrument import Instrument
from vostok_core.sentiment.scorer import Scorer
from vostok_core.strategy import Strategy
from vostok_core.times import DAY, day_of, day_start, days

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Made:
    """What the batch makes of the bars of some days of a month; of all arrays, a row is a bar.

    Attributes:
        bars: The bars that the run closed.
        sentiment: float64, shape (bars, 4), `SENTIMENT_FIELDS`; None where no pack reads it.
        features: float64, shape (bars, columns), in the order of the bundle's manifest.
        event: Boolean: a decision was due.
        steady: Boolean: the bar and all that its features look back on is valid.
        sigma: float64: volatility over the horizon.
    """

    bars: ToldBars
    sentiment: np.ndarray | None
    features: np.ndarray
    event: np.ndarray
    steady: np.ndarray
    sigma: np.ndarray


@dataclass(frozen=True)
class Past:
    """The bars that a run walks over, in order: the lake's, then its own.

    Attributes:
        lake: The lake's.
        own: Its own.
        interval_us: Their length.
    """

    lake: ToldBars
    own: ToldBars
    interval_us: int

    @property
    def rows(self) -> np.ndarray:
        return np.concatenate([self.lake.rows, self.own.rows])

    @property
    def valid(self) -> np.ndarray:
        return np.concatenate([self.lake.valid, self.own.valid])


def walked_over(
    shipped: Shipped,
    instrument: Instrument,
    beginning: Beginning,
    strategy: Strategy,
    month: date,
    until: int,
) -> Past:
    """The bars that features of a month are made of.

    Args:
        shipped: The journal, and the lake.
        instrument: Its rules.
        beginning: Where the run begins.
        strategy: The strategy that it trades.
        month: The first of the month.
        until: End of the last bar, microseconds.

    Raises:
        StalePartition: As in `retell.walked_days`.
        MissingPartition: As in `features.history.days_before`.
    """
    lake, name = shipped.lake, str(instrument.id)
    warmup = max(pack(each).warmup for each in strategy.file.features.packs)
    first = first_day(strategy, month)
    walked = walked_days(lake, name, beginning, warmup)
    held = tuple(day for day in walked if day >= first)
    own = tell_bars(shipped, instrument, beginning, first, until)
    before = lake_bars(lake, name, beginning.interval, held)
    return Past(before, own, strategy.interval_us)


def make_again(
    shipped: Shipped,
    instrument: Instrument,
    strategy: Strategy,
    past: Past,
    month: date,
    scorer: Scorer | None,
) -> Made:
    """Features and events of the bars that a run closed in a month.

    Args:
        shipped: The journal, and the lake.
        instrument: Its rules.
        strategy: As the bundle was trained on.
        past: The bars.
        month: The first of the month.
        scorer: That of the news; none is needed where no pack reads sentiment.

    Raises:
        DataError: Sentiment can't be told again.
    """
    choice = strategy.file.features
    chosen = chosen_columns(choice.packs, choice.exclude)
    rows, valid = past.rows, past.valid
    ends = rows[:, TS].astype(np.int64)
    day = (ends - past.interval_us) // DAY
    seen = None
    if any(pack(name).inputs == "sentiment" for name in chosen):
        seen = _sentiment(shipped, instrument, past, scorer)
    inputs = {"bars": rows, "sentiment": seen}
    own = slice(len(past.lake.rows), len(rows))
    outputs = {
        name: _month(pack(name), inputs[pack(name).inputs], day, month, past.interval_us)
        for name in chosen
    }
    source = volatility_pack(strategy)
    column = pack(source).columns.index(strategy.file.labels.volatility)
    # The day before the month is walked over with its own month.
    eve = event_anchor(month)
    before = _month(pack(source), inputs[pack(source).inputs], day, eve, past.interval_us)
    earlier = day < _number(month)
    sigma_bar = np.where(earlier, before[:, column], outputs[source][:, column])
    flagged = day >= _number(eve)
    frame = pl.DataFrame(
        {
            "ts": pl.Series(ends[flagged]).cast(TIME),
            "close": rows[flagged, CLOSE],
            "sigma_bar": sigma_bar[flagged],
            "valid": valid[flagged],
        }
    )
    event = np.zeros(len(rows), dtype=np.bool_)
    event[flagged] = flag_events(strategy, frame)["event"].to_numpy()
    features = np.concatenate(
        [
            outputs[name][:, [pack(name).columns.index(each) for each in names]]
            for name, names in chosen.items()
        ],
        axis=1,
    )
    reach = memory(choice.packs, choice.exclude) * past.interval_us
    steady = settled(ends, ends[~valid], reach)
    mine = ~earlier[own]
    return Made(
        ToldBars(past.own.rows[mine], past.own.ids[mine], past.own.valid[mine], past.own.broken),
        None if seen is None else seen[own][mine],
        np.ascontiguousarray(features[own][mine]),
        event[own][mine],
        steady[own][mine],
        np.array([horizon_sigma(each, strategy.horizon_bars) for each in sigma_bar[own][mine]]),
    )


def _month(
    source: Pack, rows: np.ndarray | None, day: np.ndarray, month: date, interval_us: int
) -> np.ndarray:
    """A pack's features of a month's rows; NaN in the rows of other months."""
    assert rows is not None, "what a pack reads was made before"
    out = np.full((len(rows), len(source.columns)), np.nan)
    first = month.replace(day=1)
    end = _number((first + 31 * _DAY).replace(day=1))
    walked = (day >= _number(anchor(first, source.warmup, interval_us))) & (day < end)
    features = walk(source, rows[walked])
    kept = day[walked] >= _number(first)
    out[np.flatnonzero(walked)[kept]] = features[kept]
    return out


def _sentiment(
    shipped: Shipped, instrument: Instrument, past: Past, scorer: Scorer | None
) -> np.ndarray:
    """What became known during each bar: as the lake says before the run, then as its news say."""
    if scorer is None:
        said = "the features read sentiment, and no scorer was given"
        raise DataError(said, hint="name the scorer that [sentiment] of vostok.toml names")
    name, interval_us = str(instrument.id), past.interval_us
    parts = [np.empty((0, len(SENTIMENT_FIELDS)))]
    ends = past.lake.ends
    if ends.size:
        span = days(day_of(int(ends[0]) - interval_us), day_of(int(ends[-1]) - interval_us))
        minutes = [
            shipped.lake.read("sentiment", columns=SENTIMENT_FIELDS, instrument=name, date=each)
            for each in span
        ]
        parts.append(sentiment_rows(ends, interval_us, pl.concat(minutes)))
    ends = past.own.ends
    if ends.size:
        span = days(day_of(int(ends[0]) - interval_us), day_of(int(ends[-1])))
        scores = shipped.read_days("live_news", span).select(*table("sentiment_scores").schema)
        parts.append(rows_for(ends, interval_us, scores, instrument.id.base, scorer))
    return np.concatenate(parts)


def _number(day: date) -> int:
    """Days since 1970."""
    return day_start(day) // DAY
