"""The lines of a segment as rows of the lake.

Times of ours become the exchange's by what its clock showed: the newest time before a line that it
was asked, or the first of the segment. A capture that holds no such line is told by its own events:
none can have come before it was sent, so the exchange's clock was ahead of ours by the most that an
event was sent after it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import msgspec
import numpy as np
import polars as pl

from vostok_core.lake.tables import TIME, table
from vostok_core.market.instrument import Instrument
from vostok_core.times import DAY, day_of
from vostok_live.feed.events import BookTop, DepthDiff, DepthSnapshot, Malformed, Tick
from vostok_live.feed.parse import Impossible, decode, depth_snapshot
from vostok_live.feed.rest import trades_of
from vostok_live.recorder import lines as ours
from vostok_live.recorder.columns import DepthColumns, QuoteColumns, TradeColumns
from vostok_live.recorder.coverage import Coverage
from vostok_live.recorder.lines import OURS
from vostok_live.seams import MarketTime

Line = tuple[int, bytes] | None

_TRADES = b'{"vostok":"trades"'
_SHOWN = 200  # characters of what is wrong with a line


def trades_in(text: bytes, instrument: Instrument) -> list[Tick]:
    """The trades of a line, a quick look at those that hold none."""
    if b"rade" not in text[:64]:
        return []
    try:
        if text.startswith(OURS):
            line = ours.read_own(text) if text.startswith(_TRADES) else None
            return [] if not isinstance(line, ours.Trades) else _fetched(line, instrument, 0)
        event = decode(text)
    except (msgspec.MsgspecError, Impossible):
        return []
    if not isinstance(event, Tick) or event.symbol != instrument.id.symbol:
        return []
    return [event] if _is_own(event, instrument) else []


def _is_own(tick: Tick, instrument: Instrument) -> bool:
    """Whether a trade is of the kind that the instrument's are; ids of the two don't mix."""
    return (tick.first_id >= 0) == (instrument.tick == "agg_trade")


def _fetched(line: ours.Trades, instrument: Instrument, seen: int) -> list[Tick]:
    aggregate = instrument.tick == "agg_trade"
    return trades_of(line.body, instrument.id.symbol, aggregate=aggregate, seen=seen)


@dataclass
class Unusable:
    """Lines that say nothing."""

    count: int = 0
    first_ns: int = 0
    last_ns: int = 0
    detail: str = ""

    def add(self, ns: int, detail: str) -> None:
        """One more."""
        if not self.count:
            self.first_ns, self.detail = ns, detail[:_SHOWN]
        self.count += 1
        self.last_ns = ns


@dataclass
class Landed:
    """A day of a segment.

    Attributes:
        trades: Rows of `raw_trades` that the streams brought.
        seam: Rows of `raw_trades` that REST brought and the streams had not.
        quotes: Rows of `raw_quotes`.
        depth: Rows of `raw_depth`.
        recordings: Rows of `recordings`.
    """

    trades: pl.DataFrame
    seam: pl.DataFrame
    quotes: pl.DataFrame
    depth: pl.DataFrame
    recordings: pl.DataFrame

    @property
    def seams(self) -> list[tuple[int, int]]:
        """First and last id of each unbroken run of the seam."""
        return _runs(self.seam)


class SegmentRows:
    """Reads the lines of one segment.

    Args:
        instrument: Whose it is.
        name: Of the segment.

    Attributes:
        name: See above.
        lines: How many were read.
        other: Events of other symbols, which are left out.
        other_kind: Trades of the kind that the instrument's are not, which are left out.
        tick: What a trade is, as the segment says where it does.
        useful: Whether anything of the instrument's own was read.
    """

    def __init__(self, instrument: Instrument, name: str) -> None:
        self.lines = 0
        self.other = 0
        self.other_kind = 0
        self.tick: str | None = None
        self._instrument = instrument
        self.name = name
        self._symbol = instrument.id.symbol
        self._trades = TradeColumns()
        self._fetched = TradeColumns()
        self._quotes = QuoteColumns()
        self._depth = DepthColumns()
        self._coverage = Coverage()
        self._clocks: list[tuple[int, ours.Clock]] = []
        self._skipped: list[tuple[int, ours.Skipped]] = []
        self._unusable = Unusable()
        self._ahead: int | None = None  # microseconds that events were sent after they came
        self._timed = 0
        self._first_ns = 0
        self.useful = False
        self._last_ns = 0

    def read(self, found: Iterable[Line]) -> None:
        """Read all lines."""
        for line in found:
            self.lines += 1
            if line is None:
                self._unusable.add(self._last_ns, "a line that begins with no time")
                continue
            ns, text = line
            self._first_ns = self._first_ns or ns
            self._last_ns = ns
            if text.startswith(OURS):
                self._own(ns, text)
            else:
                self._coverage.heard(ns)
                self._said(ns, text)
        self._coverage.end()

    def _said(self, ns: int, text: bytes) -> None:
        event = decode(text, ns // 1_000)
        if isinstance(event, Tick | BookTop | DepthDiff):
            if event.symbol != self._symbol:
                self.other += 1
                return
            if isinstance(event, Tick):
                self._time(event.sent, ns)
                if not _is_own(event, self._instrument):
                    self.other_kind += 1
                    return
                self._trades.add(event)
            elif isinstance(event, BookTop):
                self._quotes.add(event, ns)
            else:
                self._depth.add(event, ns)
                self._time(event.ts, ns)
            self.useful = True
        elif isinstance(event, DepthSnapshot):
            self._depth.add(event, ns)
        elif isinstance(event, Malformed):
            self._unusable.add(ns, f"{event.flaw}: {event.detail}")

    def _time(self, sent: int, ns: int) -> None:
        """How far the exchange's clock is ahead, as far as one event tells."""
        if sent >= 0:
            ahead = sent - ns // 1_000
            self._timed += 1
            self._ahead = ahead if self._ahead is None else max(self._ahead, ahead)

    def _own(self, ns: int, text: bytes) -> None:
        try:
            line = ours.read_own(text)
            if isinstance(line, ours.Trades):
                for tick in _fetched(line, self._instrument, ns // 1_000):
                    self._fetched.add(tick)
            elif isinstance(line, ours.Depth):
                self._depth.add(depth_snapshot(line.body, ns // 1_000), ns)
            elif isinstance(line, ours.Clock):
                self._clocks.append((ns, line))
            elif isinstance(line, ours.Skipped):
                self._skipped.append((ns, line))
            elif isinstance(line, ours.Text):
                self._said(ns, line.text.encode())
            else:
                if isinstance(line, ours.Begun):
                    self.tick = line.tick
                self._coverage.own(ns, line)
        except (msgspec.MsgspecError, Impossible) as error:
            self._unusable.add(ns, str(error))

    @property
    def trades(self) -> int:
        """Trades of the streams, repetitions included."""
        return len(self._trades)

    # Rows

    def days(self) -> Iterator[tuple[date, Landed]]:
        """What each day has, in order of days."""
        trades = self._trades.frame()
        seam = self._fetched.frame().join(
            trades, on=trades.columns, how="anti", nulls_equal=True, maintain_order="left"
        )
        quotes = self._stamped("raw_quotes", self._quotes.frame())
        depth = self._stamped("raw_depth", self._depth.frame())
        recordings = self._recordings(trades, seam, quotes, depth)
        frames = (trades, seam, quotes, depth, recordings)
        numbers = [frame["ts"].to_physical() // DAY for frame in frames]
        for number in sorted({each for column in numbers for each in column.unique()}):
            of_day = [
                frame.filter(column == number)
                for frame, column in zip(frames, numbers, strict=True)
            ]
            yield day_of(number * DAY), Landed(*of_day)

    def _market(self, ns: np.ndarray) -> np.ndarray:
        """Times of ours as the exchange's, microseconds."""
        if not self._clocks:
            return ns // 1_000 + (self._ahead or 0)
        at = np.array([ns for ns, _ in self._clocks], dtype=np.int64)
        times = [MarketTime(c.wall_ns, c.market_us, c.speed) for _, c in self._clocks]
        known = np.maximum(np.searchsorted(at, ns, side="right") - 1, 0)
        found = np.empty(ns.size, dtype=np.int64)
        for k in np.unique(known):
            chosen, time = known == k, times[k]
            if time.speed == 1.0:
                found[chosen] = time.market_us + (ns[chosen] - time.wall_ns) // 1_000
            else:
                found[chosen] = [time.at(int(each)) for each in ns[chosen]]
        return found

    def _stamped(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of a table, with the exchange's times for those that it did not say."""
        seen = frame["seen"].to_numpy()
        ts = pl.Series("ts", self._market(seen))
        if "ts" in frame.columns:
            said = frame["ts"]
            ts = pl.select(pl.when(said >= 0).then(said).otherwise(ts).alias("ts"))["ts"]
        return frame.with_columns(
            ts.cast(TIME), pl.Series("seen_ts", seen // 1_000).cast(TIME)
        ).select(list(table(name).schema))

    def _recordings(
        self, trades: pl.DataFrame, seam: pl.DataFrame, quotes: pl.DataFrame, depth: pl.DataFrame
    ) -> pl.DataFrame:
        rows: list[tuple[str, int, int, int, float, str]] = []

        def market(*ns: int) -> list[int]:
            return [int(each) for each in self._market(np.array(ns, dtype=np.int64))]

        for span in self._coverage.spans:
            begin, end = market(span.begin_ns, span.end_ns)
            for a, b in _by_day(begin, max(begin, end)):
                count = span.frames if a == begin else 0
                rows.append(("covered", a, b, count, np.nan, span.why))
        for ns, line in self._skipped:
            (at,) = market(ns)
            last = "" if line.to_id < 0 else f" to {line.to_id - 1}"
            count = max(line.to_id - line.from_id, 0) if line.to_id >= 0 else 0
            detail = f"trades from {line.from_id}{last} are not fetched: {line.why}"
            rows.append(("skipped", at, at, count, np.nan, detail))
        rows += self._clock_rows()
        bad = self._unusable
        if bad.count and self._first_ns:
            begin, end = market(bad.first_ns or self._first_ns, bad.last_ns or self._first_ns)
            rows.append(("unusable", begin, end, bad.count, np.nan, bad.detail))
        for a, b in _runs(seam):
            run = seam.filter(pl.col("trade_id").is_between(a, b))
            rows.append(("seam", *_ends(run), run.height, np.nan, f"trades {a} to {b}"))
        for kind, frame in (
            ("trades", trades),
            ("quotes", quotes),
            ("depth", depth.filter(~pl.col("snapshot"))),
            ("snapshots", depth.filter("snapshot")),
        ):
            days = frame["ts"].dt.date()
            for day in days.unique().sort():
                of_day = frame.filter(days == day)
                rows.append((kind, *_ends(of_day), of_day.height, np.nan, ""))
        rows.sort(key=lambda row: (row[1], row[0]))
        declared = table("recordings").schema
        plain = {name: pl.Int64 if kind == TIME else kind for name, kind in declared.items()}
        made = pl.DataFrame([(*row, self.name) for row in rows], schema=plain, orient="row")
        return made.with_columns(pl.col("ts", "end_ts").cast(TIME))

    def _clock_rows(self) -> Iterator[tuple[str, int, int, int, float, str]]:
        if not self._clocks and self._ahead is not None:
            at = self._first_ns // 1_000 + self._ahead
            detail = f"by the times of {self._timed} events: at least"
            yield "clock", at, at, self._timed, self._ahead / 1e6, detail
        for _, line in self._clocks:
            trip = f"round trip {line.round_trip_ns / 1e6:.1f} ms"
            if line.apart:
                detail = f"market time of its own, {line.speed:g} seconds in a second; {trip}"
                yield "clock", line.market_us, line.market_us, 1, np.nan, detail
            else:
                value = (line.market_us - line.wall_ns / 1e3) / 1e6
                yield "clock", line.market_us, line.market_us, 1, value, trip


def _ends(frame: pl.DataFrame) -> tuple[int, int]:
    ts = frame["ts"].to_physical()
    return int(ts.min()), int(ts.max())  # type: ignore[arg-type]


def _runs(trades: pl.DataFrame) -> list[tuple[int, int]]:
    """First and last of each unbroken run of ids."""
    ids = trades["trade_id"].unique().sort().to_numpy()
    if not ids.size:
        return []
    starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 2) != 1)
    ends = [*(starts[1:] - 1), ids.size - 1]
    return [(int(ids[a]), int(ids[b])) for a, b in zip(starts, ends, strict=True)]


def _by_day(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of a span that lie in each day."""
    while begin // DAY < end // DAY:
        midnight = (begin // DAY + 1) * DAY
        yield begin, midnight
        begin = midnight
    yield begin, end
