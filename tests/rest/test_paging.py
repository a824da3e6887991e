"""However pages come, with faults and kills, each trade is there once and in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.times import DAY, HOUR, MINUTE, SECOND, day_start, parse_day
from vostok_pipelines.rest.paging import (
    LOOKS,
    Ask,
    AskIds,
    Ended,
    IdPager,
    Pager,
    Stuck,
    TimePager,
)
from vostok_pipelines.rest.trades import Trade, Unusable

START = day_start(parse_day("2025-01-06"))
END = START + DAY
LIMIT = 8

Page = Sequence[Trade]


def market(
    random: Random, count: int, *, ids: str, holes: bool = False, reversals: bool = False
) -> list[Trade]:
    """Trades from an hour before the day to an hour after it, some of them at equal times."""
    times = sorted(random.randrange(START - HOUR, END + HOUR) for _ in range(count))
    for k in range(1, count):
        if random.random() < 0.3:
            times[k] = times[k - 1]
    times = sorted([START - 30 * MINUTE, *times, END + 30 * MINUTE])
    trades, key = [], random.randrange(100)
    for ts in times:
        key += 1 + (
            random.randrange(5) if (holes and random.random() < 0.1) or ids == "unique" else 0
        )
        late = random.randrange(SECOND // 2) if reversals and random.random() < 0.1 else 0
        number = None if ids == "none" else key
        price = float(random.randrange(1, 4))
        trades.append(Trade(number, ts - late, price, 1.0, random.random() < 0.5))
    return trades


class Shown:
    """An exchange that shows a market, honestly but for some faults, never many in a row."""

    def __init__(self, trades: list[Trade], random: Random, *, faults: float, fixed: bool) -> None:
        self.trades = trades
        self.random = random
        self.faults = faults
        self.fixed = fixed
        self.row = 0
        self.before: Page = ()

    def page(self, ask: Ask) -> Page:
        honest = self.honest(ask)
        if self.row < LOOKS - 1 and self.random.random() < self.faults:
            self.row += 1
            return self.fault(honest)
        self.row = 0
        self.before = honest
        return honest

    def honest(self, ask: Ask) -> Page:
        if isinstance(ask, AskIds):
            return [trade for trade in self.trades if trade.id >= ask.from_id][: ask.limit]
        since = ask.since
        if self.fixed:  # such exchanges often begin a page before the time that was asked for
            since -= since % (10 * SECOND)
        rows = sorted(self.trades, key=lambda trade: trade.ts)
        rows = [
            row for row in rows if row.ts >= since and (ask.until is None or row.ts <= ask.until)
        ]
        rows = rows[: LIMIT if self.fixed else ask.limit]
        if self.random.random() < 0.3 and rows and rows[0].id is not None:
            rows = rows[::-1]
        return rows

    def fault(self, honest: Page) -> Page:
        """One of the ways in which pages were seen to be wrong."""
        kind = self.random.choice(["empty", "stale", "cut", "twice", "newest", "impossible"])
        if kind == "empty":
            return []
        if kind == "stale":
            return self.before
        if kind == "newest":
            return sorted(self.trades, key=lambda trade: trade.ts)[-LIMIT:]
        if kind == "impossible" and honest:
            return [*honest[:-1], honest[-1]._replace(price=float("nan"))]
        if kind == "twice" and honest and honest[0].id is not None:
            return [*honest, *honest]
        rows = sorted(honest, key=lambda trade: (trade.ts, trade.id or 0))
        return rows[: max(1, len(rows) // 2)]


def walk(
    make: Callable[[list[Trade]], Pager], shown: Shown, random: Random, kills: float
) -> list[Trade]:
    """Go through all; a kill forgets the pager, and a new one goes on from what was taken."""
    kept: list[Trade] = []
    pager = make(kept)
    for _ in range(20_000):
        ask = pager.ask()
        if ask is None:
            return kept
        with suppress(Unusable):
            kept += pager.take(shown.page(ask))
        if random.random() < kills:
            pager = make(kept)
    raise AssertionError("the pager doesn't come to an end")


RUNS = settings(max_examples=200)
SEEDS = st.integers(0, 2**32)
COUNTS = st.integers(0, 120)


@RUNS
@given(SEEDS, COUNTS, st.booleans(), st.booleans())
def test_by_ids_each_trade_comes_once_and_in_order(
    seed: int, count: int, holes: bool, reversals: bool
) -> None:
    random = Random(seed)
    trades = market(random, count, ids="unbroken", holes=holes, reversals=reversals)
    shown = Shown(trades, random, faults=0.3, fixed=False)

    def make(kept: list[Trade]) -> IdPager:
        if kept:
            return IdPager.after(kept, limit=LIMIT, until=END)
        return IdPager(trades[0].id, limit=LIMIT, until=END)

    kept = walk(make, shown, random, kills=0.1)
    whole = next(k for k, trade in enumerate(trades) if trade.ts >= END)
    assert kept[: whole + 1] == trades[: whole + 1]
    assert [trade.id for trade in kept] == sorted({trade.id for trade in kept})


@RUNS
@given(SEEDS, COUNTS, st.sampled_from(["unique", "none"]), st.booleans(), st.booleans())
def test_by_time_each_trade_comes_once_and_in_order(
    seed: int, count: int, ids: str, fixed: bool, reversals: bool
) -> None:
    random = Random(seed)
    trades = market(random, count, ids=ids, reversals=reversals and not fixed)
    shown = Shown(trades, random, faults=0.3, fixed=fixed)

    def make(kept: list[Trade]) -> TimePager:
        return TimePager(START, END, limit=LIMIT, ids=ids, step=1_000, held=kept)

    try:
        kept = walk(make, shown, random, kills=0.1)
    except Stuck:
        assert crowded(trades, fixed=fixed), "a page can always be passed but where it is full"
        return
    assert sorted(inside(kept)) == sorted(inside(trades))
    in_order = sorted(inside(kept), key=lambda trade: (trade.ts, trade.id or 0))
    assert in_order == sorted(inside(trades), key=lambda trade: (trade.ts, trade.id or 0))


@RUNS
@given(SEEDS, COUNTS)
def test_by_windows_each_trade_comes_once(seed: int, count: int) -> None:
    random = Random(seed)
    trades = market(random, count, ids="unique")
    shown = Shown(trades, random, faults=0.2, fixed=False)

    def make(kept: list[Trade]) -> TimePager:
        return TimePager(START, END, limit=LIMIT, ids="unique", step=1_000, window=HOUR, held=kept)

    try:
        kept = walk(make, shown, random, kills=0.05)
    except Stuck:
        assert crowded(trades, fixed=False)
        return
    assert sorted(inside(kept)) == sorted(inside(trades))


def inside(trades: Sequence[Trade]) -> list[tuple[object, ...]]:
    """Those of the day; ids that are None don't compare with each other."""
    return [trade._replace(id=trade.id or 0) for trade in trades if START <= trade.ts < END]


def crowded(trades: list[Trade], *, fixed: bool) -> bool:
    """Whether some moment has as many trades as a page holds, or nearly."""
    span = 10 * SECOND + 2_000 if fixed else 2_000
    times = sorted(trade.ts for trade in trades)
    return any(b - a <= span for a, b in zip(times, times[LIMIT - 1 :], strict=False))


def insist(pager: Pager, page: Callable[[Any], Page]) -> None:
    """Show the same again and again."""
    for _ in range(50):
        ask = pager.ask()
        assert ask is not None
        with suppress(Unusable):
            pager.take(page(ask))


def trade(key: int | None, ts: int, price: float = 1.0) -> Trade:
    return Trade(key, ts, price, 1.0, buyer_maker=False)


def test_a_hole_is_believed_once_it_was_shown_as_often_as_it_takes() -> None:
    pager = IdPager(10, limit=5, until=END)
    page = [trade(13, START), trade(14, END)]
    for _ in range(LOOKS - 1):
        with pytest.raises(Unusable, match="10 to 12"):
            pager.take(page)
    assert pager.take(page) == page
    assert pager.ask() is None


def test_of_a_page_with_a_hole_only_what_lies_before_it_is_taken() -> None:
    pager = IdPager(10, limit=5, until=END)
    rows = [trade(key, START + key) for key in range(10, 15)]
    assert pager.take([rows[0], rows[1], rows[3]]) == rows[:2]
    assert pager.ask() == AskIds(12, 5)
    assert pager.take(rows[2:]) == rows[2:]


def test_an_exchange_that_shows_its_newest_trades_only_is_found_out() -> None:
    newest = [trade(key, END + key) for key in range(LIMIT)]
    pager = TimePager(START, END, limit=LIMIT, ids="unique", step=1_000)
    with pytest.raises(Stuck, match="newest"):
        insist(pager, lambda _: newest)


def test_newest_trades_don_t_join_what_was_taken_before() -> None:
    pager = TimePager(START, END, limit=LIMIT, ids="unique", step=1_000)
    pager.take([trade(1, START - 1), trade(2, START + HOUR)])
    newest = [trade(key, START + 5 * HOUR + key) for key in range(100, 100 + LIMIT)]
    with pytest.raises(Stuck, match="doesn't go on"):
        insist(pager, lambda _: newest)


def test_more_trades_of_one_time_than_a_page_holds_are_an_error_and_no_loss() -> None:
    same = [trade(key, START + HOUR) for key in range(LIMIT)]
    pager = TimePager(START, END, limit=LIMIT, ids="unique", step=1_000)
    pager.take([trade(1_000, START - 1)])
    shown = [trade(1_000, START - 1), *same]
    with pytest.raises(Stuck, match="of one time"):
        insist(pager, lambda ask: [row for row in shown if row.ts >= ask.since][:LIMIT])


def test_two_equal_trades_on_a_page_without_ids_are_two() -> None:
    pager = TimePager(START, END, limit=LIMIT, ids="none", step=1_000)
    first = [trade(None, START - 1), trade(None, START + 5), trade(None, START + 5)]
    assert pager.take(first) == first
    assert pager.take([*first, trade(None, START + 5)]) == [trade(None, START + 5)]


def test_a_trade_that_is_another_one_than_before_is_not_taken() -> None:
    pager = TimePager(START, END, limit=LIMIT, ids="unique", step=1_000)
    pager.take([trade(1, START - 1), trade(2, START + 5)])
    with pytest.raises(Unusable, match="another one"):
        pager.take([trade(1, START - 1, price=2.0), trade(2, START + 5), trade(3, START + 6)])


def test_the_end_of_what_there_is_does_not_make_a_span_whole() -> None:
    pager = IdPager(5, limit=5, until=END)
    assert pager.take([trade(5, START)]) == [trade(5, START)]
    with pytest.raises(Ended):
        insist(pager, lambda _: [])
