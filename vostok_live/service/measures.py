"""What the daemon counts and times as it goes on, for metrics and status.

Whoever does something counts it here; nothing is asked back. All of it begins anew with the
process, as Prometheus expects of a counter.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from itertools import accumulate

from vostok_live.service.status import Latency

_KEPT = 1_024
FAST = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Bounds for what this machine does, seconds."""
SLOW = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds for what waits for the exchange, seconds."""


class Timing:
    """How long something takes: a histogram of all times, and the newest thousand as they were.

    Args:
        bounds: Upper bounds of the histogram's buckets, seconds, ascending; one without a bound is
            added.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        assert list(bounds) == sorted(set(bounds)), "bounds ascend"
        self.bounds = tuple(bounds)
        self.total = 0.0
        self._buckets = [0] * (len(self.bounds) + 1)
        self._newest: deque[float] = deque(maxlen=_KEPT)

    @property
    def count(self) -> int:
        """How often it was timed."""
        return sum(self._buckets)

    def observe(self, seconds: float) -> None:
        """It took so long. A wall that was set back makes no time shorter than none."""
        seconds = max(seconds, 0.0)
        self._buckets[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds
        self._newest.append(seconds)

    @property
    def newest(self) -> float | None:
        """How long it took the last time, seconds; none before the first."""
        return self._newest[-1] if self._newest else None

    def cumulated(self) -> list[int]:
        """How many took no longer than each bound, and last, how many there were."""
        return list(accumulate(self._buckets))

    def latency(self) -> Latency | None:
        """Quantiles of the newest thousand; none before the first."""
        if not self._newest:
            return None
        ordered = sorted(self._newest)
        p50, p99 = (ordered[-(-len(ordered) * share // 100) - 1] for share in (50, 99))
        return Latency(p50_ms=1e3 * p50, p99_ms=1e3 * p99, count=self.count)


class Measures:
    """Everything that is counted and timed, in one process.

    Attributes:
        orders: Orders by side, kind and what their requests came to (`gateway.port.Outcome.name`).
        fills: Trades of our own by side and liquidity.
        comparisons: With the exchange, by result.
        doubts: Doubts that they left, by code.
        requests: To the exchange, by endpoint and HTTP status, or `none` where no answer came.
        controls: What people asked for, by action.
        refused_calls: Calls of the control API that were refused, by reason.
        alerts: By level and code.
        invalid_bars: Bars on which nothing opens.
        nan_features: Features that were no number.
        uncovered_seconds: Market seconds that a position was without its exits resting.
        order_round_trip: From sending an order to the answer.
        bar_to_order: From the arrival of the trade that closed a bar to the order that it brought.
        journal_commit: A transaction of the journal.
        inference: From a closed bar to its probability.
        feed_delay: From the exchange's sending of a trade to its arrival, by both clocks.
    """

    def __init__(self) -> None:
        self.orders: Counter[tuple[str, str, str]] = Counter()
        self.fills: Counter[tuple[str, str]] = Counter()
        self.comparisons: Counter[str] = Counter()
        self.doubts: Counter[str] = Counter()
        self.requests: Counter[tuple[str, str]] = Counter()
        self.controls: Counter[str] = Counter()
        self.refused_calls: Counter[str] = Counter()
        self.alerts: Counter[tuple[str, str]] = Counter()
        self.invalid_bars = 0
        self.nan_features = 0
        self.uncovered_seconds = 0.0
        self.order_round_trip = Timing(SLOW)
        self.bar_to_order = Timing(SLOW)
        self.journal_commit = Timing(FAST)
        self.inference = Timing(FAST)
        self.feed_delay = Timing(SLOW)
