"""From a closed bar to a decision: features, event, probability.

The steps are those that partitions are made by: packs walk from their month's anchor, so do events,
and the model scores the columns that its manifest names. Fed the bars of a week in order, the chain
decides what `predictions` of that week say, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np

from vostok_core.errors import BundleError
from vostok_core.features.inputs import CLOSE, TS
from vostok_core.features.reading import chosen_columns, memory
from vostok_core.features.registry import Pack, pack
from vostok_core.features.walk import Stream, anchor
from vostok_core.labels.barriers import horizon_sigma
from vostok_core.labels.events import EventStream, event_anchor
from vostok_core.live.anchored import Anchored
from vostok_core.models.bundle import Bundle
from vostok_core.strategy import Strategy
from vostok_core.times import DAY, day_of
from vostok_core.trading.events import Decision


@dataclass(frozen=True)
class Step:
    """What was made of a bar.

    Attributes:
        ts: End of the bar, microseconds.
        features: The model's columns in the order of its manifest, float64.
        event: Whether a decision was due.
        valid: Whether the bar is valid, and all that its features look back on; at an event also
            whether every feature has a value.
        score: What the trees said; NaN where no decision was due.
        decision: What the model said, where one was due.
    """

    ts: int
    features: np.ndarray
    event: bool
    valid: bool
    score: float
    decision: Decision | None


def first_day(strategy: Strategy, month: date) -> date:
    """The first day that anything of a month depends on: where a chain for it begins.

    Events of the month begin on the day before it, whose volatility is that of its own month.
    """
    warmup = max(pack(name).warmup for name in strategy.file.features.packs)
    return anchor(event_anchor(month), warmup, strategy.interval_us)


class DecisionChain:
    """Decides for one strategy on one instrument, a bar at a time.

    It must be fed every bar from `first_day` of the first month on (`catch_up`), so that it says
    what partitions say. Feed it nothing for a day of which nothing is known, and call `begin_anew`.

    Args:
        bundle: The model.
        strategy: The strategy as the bundle was trained on (`Manifest.settings`).

    Raises:
        BundleError: The model's columns are not the strategy's.
    """

    def __init__(self, bundle: Bundle, strategy: Strategy) -> None:
        choice = strategy.file.features
        chosen = chosen_columns(choice.packs, choice.exclude)
        columns = tuple(name for part in chosen.values() for name in part)
        if columns != bundle.manifest.features:
            raise BundleError(
                f"the model's columns are not those of {strategy.name}",
                hint=f"run `vostok walk-forward {strategy.name} --instrument "
                f"{bundle.manifest.instrument} --from WEEK --to WEEK` again",
            )
        self.bundle = bundle
        self.strategy = strategy
        self._interval = strategy.interval_us
        self._packs = [pack(name) for name in chosen]
        self._streams = [
            Anchored(
                partial(Stream, each),
                partial(anchor, warmup_bars=each.warmup, interval_us=self._interval),
            )
            for each in self._packs
        ]
        self._taken = [
            np.array([each.columns.index(name) for name in names], dtype=np.intp)
            for each, names in zip(self._packs, chosen.values(), strict=True)
        ]
        volatility = strategy.file.labels.volatility
        self._sigma = next(
            (k, each.columns.index(volatility))
            for k, each in enumerate(self._packs)
            if volatility in each.columns
        )
        self._events = Anchored(partial(EventStream, strategy), event_anchor)
        self._reach = memory(choice.packs, choice.exclude) * self._interval
        self._broken: int | None = None

    def update(self, bar: np.ndarray, sentiment: np.ndarray | None, *, valid: bool) -> Step:
        """Take in a closed bar.

        Args:
            bar: Its row, float64, `market.bars.BAR_FIELDS`.
            sentiment: What became known during it, float64, `features.inputs.SENTIMENT_FIELDS`;
                none if no pack reads sentiment.
            valid: Whether nothing was wrong with it.

        Raises:
            ValueError: A pack reads sentiment and none is given.
        """
        ts = int(bar[TS])
        day = day_of(ts - self._interval)
        if not valid:
            self._broken = ts
        outputs = []
        for each, streams in zip(self._packs, self._streams, strict=True):
            row = self._row(each, bar, sentiment)
            outputs.append(streams.feed(day, partial(_update, row=row)))
        where, column = self._sigma
        sigma_bar = float(outputs[where][column])
        close = float(bar[CLOSE])
        bars = ((ts, close, sigma_bar, valid),)
        (event,) = self._events.feed(day, partial(_flag, bars=bars))
        features = np.concatenate(
            [out[taken] for out, taken in zip(outputs, self._taken, strict=True)]
        )
        steady = self._broken is None or ts - self._broken > self._reach
        if not event:
            return Step(ts, features, event, steady, float("nan"), None)
        scores, probabilities = self.bundle.predict(features[None, :])
        decision = Decision(
            probability=float(probabilities[0]),
            threshold=self.bundle.manifest.threshold,
            sigma=horizon_sigma(sigma_bar, self.strategy.horizon_bars),
            reference=close,
        )
        known = bool(np.isfinite(features).all())
        return Step(ts, features, event, steady and known, float(scores[0]), decision)

    def catch_up(self, bars: np.ndarray, sentiment: np.ndarray | None, valid: np.ndarray) -> None:
        """Take in many bars of the past, deciding nothing; as if by `update`, and much faster.

        Args:
            bars: Their rows, float64, shape (bars, fields), in time order.
            sentiment: Likewise; none if no pack reads sentiment.
            valid: Boolean, shape (bars,).

        Raises:
            ValueError: A pack reads sentiment and none is given.
        """
        ends = bars[:, TS].astype(np.int64)
        days = (ends - self._interval) // DAY
        cuts = np.flatnonzero(np.diff(days)) + 1
        where, column = self._sigma
        for part in np.split(np.arange(ends.size), cuts):
            if not part.size:
                continue
            own = slice(int(part[0]), int(part[-1]) + 1)
            day = day_of(int(ends[own.start]) - self._interval)
            seen = None if sentiment is None else sentiment[own]
            outputs = []
            for each, streams in zip(self._packs, self._streams, strict=True):
                rows = self._row(each, bars[own], seen)
                outputs.append(streams.feed(day, partial(_replay, rows=rows)))
            sigma = outputs[where][:, column]
            closes = bars[own, CLOSE].tolist()
            flagged = list(
                zip(ends[own].tolist(), closes, sigma.tolist(), valid[own].tolist(), strict=True)
            )
            self._events.feed(day, partial(_flag, bars=flagged))
        broken = ends[~valid]
        if broken.size:
            self._broken = int(broken[-1])

    @staticmethod
    def _row(each: Pack, bars: np.ndarray, sentiment: np.ndarray | None) -> np.ndarray:
        """What a pack is fed."""
        if each.inputs == "bars":
            return bars
        if sentiment is None:
            raise ValueError(f"the pack {each.name} reads sentiment, and none was given")
        return sentiment

    def begin_anew(self) -> None:
        """Forget every bar: history begins with the next one."""
        for streams in self._streams:
            streams.forget()
        self._events.forget()
        self._broken = None


def _update(stream: Stream, row: np.ndarray) -> np.ndarray:
    return stream.update(row)


def _replay(stream: Stream, rows: np.ndarray) -> np.ndarray:
    return stream.replay(rows)


def _flag(stream: EventStream, bars: Sequence[tuple[int, float, float, bool]]) -> list[bool]:
    return [stream.update(ts, close, sigma, valid=valid) for ts, close, sigma, valid in bars]
