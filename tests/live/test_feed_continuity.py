"""Whatever a network does to a stream of trades, each comes out once, in order, or is missed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_live.feed.continuity import PAGE, Continuity, Missing
from vostok_live.feed.events import Tick

PATIENCE = 10.0


def trades(*ids: int) -> list[Tick]:
    return [Tick("BTCUSDT", i, 1_000 * i, 1.0 + i, 1.0, True, i, i, 0, 0) for i in ids]


def ids(ticks: Sequence[Tick]) -> list[int]:
    return [tick.trade_id for tick in ticks]


def test_trades_in_order_pass_at_once() -> None:
    order = Continuity(5)
    assert ids(order.take(trades(5, 6, 7), 0.0)) == [5, 6, 7]
    assert order.next_id == 8
    assert order.whole
    assert order.wanted() is None
    assert order.deadline is None


def test_the_first_trade_is_the_beginning_where_none_was_given() -> None:
    order = Continuity()
    order.resync()
    assert order.wanted() is None
    assert ids(order.take(trades(70, 71, 69), 0.0)) == [70, 71]


def test_repeated_trades_are_dropped() -> None:
    order = Continuity(1)
    assert ids(order.take(trades(1, 2, 1, 2, 2, 3), 0.0)) == [1, 2, 3]
    assert ids(order.take(trades(5, 5), 0.0)) == []
    assert order.counts["duplicate"] == 4


def test_trades_above_a_hole_wait_until_it_is_filled() -> None:
    order = Continuity(1)
    assert ids(order.take(trades(1, 4, 6), 0.0)) == [1]
    assert not order.whole
    assert order.wanted() == Missing(2, 4)
    assert ids(order.answered(Missing(2, 4), trades(2, 3, 4, 5), 1.0)) == [2, 3, 4, 5, 6]
    assert order.whole
    assert order.counts["gap"] == 2
    assert order.counts["given_up"] == 0


def test_a_late_trade_of_the_stream_fills_a_hole_as_well() -> None:
    order = Continuity(1)
    order.take(trades(2, 3), 0.0)
    assert ids(order.take(trades(1), 0.1)) == [1, 2, 3]


def test_a_hole_is_given_up_when_its_time_has_come() -> None:
    order = Continuity(1, patience=PATIENCE)
    order.take(trades(1), 0.0)
    order.take(trades(4, 5, 8), 3.0)
    assert order.deadline == 13.0
    assert order.expire(12.9) == []
    assert ids(order.expire(13.0)) == [4, 5]
    assert order.deadline == 23.0  # the next hole has a time of its own
    assert ids(order.expire(23.0)) == [8]
    assert order.whole
    assert (order.counts["given_up"], order.counts["lost"]) == (2, 4)
    # What comes too late is not handed on: bars went on without it.
    assert order.take(trades(2, 6), 24.0) == []


def test_an_answer_that_fills_some_of_a_hole_gives_it_more_time() -> None:
    order = Continuity(0, patience=PATIENCE)
    order.take(trades(5_000), 0.0)
    assert order.wanted() == Missing(0, PAGE)
    page = trades(*range(PAGE))
    assert len(order.answered(Missing(0, PAGE), page, 9.0)) == PAGE
    assert order.deadline == 19.0
    order.answered(Missing(PAGE, PAGE), [], 15.0)
    assert order.deadline == 19.0


def test_trades_that_an_answer_lacks_are_a_hole_too() -> None:
    """The exchange itself has no trade 3."""
    order = Continuity(1, patience=PATIENCE)
    order.take(trades(1), 0.0)
    order.resync()
    assert ids(order.answered(Missing(2, PAGE), trades(2, 4, 5), 1.0)) == [2]
    assert ids(order.expire(11.0)) == [4, 5]


def test_a_stream_that_broke_off_is_caught_up_with_before_it_is_whole() -> None:
    order = Continuity(0)
    order.take(trades(0), 0.0)
    order.resync()
    assert not order.whole
    asked = order.wanted()
    assert asked == Missing(1, PAGE)
    full = trades(*range(1, 1 + PAGE))
    assert len(order.answered(asked, full, 1.0)) == PAGE
    assert not order.whole  # a full page may not be the last
    asked = order.wanted()
    assert asked == Missing(1 + PAGE, PAGE)
    assert ids(order.answered(asked, trades(1 + PAGE), 2.0)) == [1 + PAGE]
    assert order.whole


def test_a_trade_in_its_turn_shows_that_a_break_lost_nothing() -> None:
    order = Continuity(0)
    order.take(trades(0), 0.0)
    order.resync()
    assert ids(order.take(trades(1), 1.0)) == [1]
    assert order.whole


def test_a_hole_from_before_a_break_says_nothing_of_what_came_after() -> None:
    order = Continuity(0)
    order.take(trades(0, 2), 0.0)
    order.resync()
    assert order.answered(Missing(1, 1), [], 0.5) == []
    assert ids(order.answered(Missing(1, 1), trades(1), 1.0)) == [1, 2]
    assert not order.whole
    assert order.wanted() == Missing(3, PAGE)


def test_a_break_is_over_once_a_trade_from_after_it_was_reached() -> None:
    order = Continuity(0)
    order.take(trades(0), 0.0)
    order.resync()
    order.take(trades(3), 1.0)
    assert ids(order.answered(Missing(1, 2), trades(1, 2), 1.0)) == [1, 2, 3]
    assert order.whole


def test_no_more_trades_are_held_than_there_is_room_for() -> None:
    order = Continuity(0, hold=3)
    order.take(trades(1, 2, 3, 4, 5), 0.0)
    assert order.counts["overflow"] == 2
    assert ids(order.answered(Missing(0, 3), trades(0, 1, 2), 0.0)) == [0, 1, 2, 3]
    # The next trade shows that 4 and 5 are missing.
    order.take(trades(6), 0.0)
    assert order.wanted() == Missing(4, 2)


def test_one_trade_far_above_the_others_does_not_end_the_stream() -> None:
    order = Continuity(0, patience=PATIENCE)
    order.take(trades(0, 10**15), 0.0)
    assert ids(order.take(trades(1, 2), 9.0)) == [1, 2]
    assert order.expire(10.0) == []
    assert order.counts["stray"] == 1
    assert order.whole
    assert ids(order.take(trades(3), 11.0)) == [3]


def test_a_hole_with_late_trades_below_is_given_up_all_the_same() -> None:
    """Order was broken once, and a trade lost for good: what came above must not be dropped."""
    order = Continuity(0, patience=PATIENCE)
    order.take(trades(0, 3), 0.0)
    order.take(trades(1), 0.0)
    order.take(trades(4, 5), 5.0)
    assert ids(order.expire(10.0)) == [3, 4, 5]
    assert order.counts["stray"] == 0


def test_ids_that_begin_anew_are_noticed() -> None:
    order = Continuity(1_000_000)
    order.take(trades(1_000_000), 0.0)
    order.take(trades(17, 18), 1.0)
    assert order.counts["fell_back"] == 1
    assert not order.whole
    order.take(trades(1_000_001), 2.0)
    assert order.whole


def disordered(data: st.DataObject, count: int) -> list[int]:
    """Ids as a bad network brings them: dropped, repeated and out of order."""
    keys = data.draw(
        st.lists(st.integers(-30, 30), min_size=count, max_size=count), label="displacement"
    )
    fates = data.draw(
        st.lists(st.sampled_from([0, 1, 1, 1, 2]), min_size=count, max_size=count), label="copies"
    )
    copies = [(i + keys[i] * k / 2, i) for i in range(count) for k in range(fates[i])]
    return [i for _, i in sorted(copies)]


class Archive:
    """Answers as the exchange does: from an id on, so many at most, of what has happened."""

    def __init__(self, absent: frozenset[int] = frozenset()) -> None:
        self.absent = absent

    def answer(self, asked: Missing, newest: int) -> list[Tick]:
        known = [i for i in range(asked.from_id, newest + 1) if i not in self.absent]
        return trades(*known[: asked.limit])


@settings(max_examples=150)
@given(st.data())
def test_every_trade_comes_once_and_in_order_when_every_hole_is_filled(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    coming = disordered(data, count)
    order = Continuity(0, patience=PATIENCE, hold=data.draw(st.sampled_from([3, 20, 1_000])))
    archive = Archive()
    out: list[int] = []
    newest = -1
    while coming:
        step = data.draw(st.integers(1, 9))
        part, coming = coming[:step], coming[step:]
        newest = max(newest, *part)
        out += ids(order.take(trades(*part), 0.0))
        if data.draw(st.booleans()):
            order.resync()
        asked = order.wanted()
        if asked is not None and data.draw(st.booleans()):
            # The exchange's database may lag behind its stream, or its answer be cut short.
            lag = data.draw(st.integers(0, 5))
            out += ids(order.answered(asked, archive.answer(asked, newest - lag), 0.0))
    order.resync()
    while (asked := order.wanted()) is not None:
        out += ids(order.answered(asked, archive.answer(asked, count - 1), 0.0))
    assert out == list(range(count))
    assert order.whole


@settings(max_examples=150)
@given(st.data())
def test_every_trade_comes_once_and_in_order_or_is_counted_as_lost(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    coming = disordered(data, count)
    order = Continuity(0, patience=PATIENCE, hold=data.draw(st.sampled_from([3, 20, 1_000])))
    archive = Archive(data.draw(st.frozensets(st.integers(0, count - 1))))
    out: list[int] = []
    now = 0.0
    while coming:
        step = data.draw(st.integers(1, 9))
        part, coming = coming[:step], coming[step:]
        now += data.draw(st.sampled_from([0.0, 1.0, 6.0]))
        out += ids(order.expire(now))
        out += ids(order.take(trades(*part), now))
        if data.draw(st.booleans()):
            order.resync()
        asked = order.wanted()
        if asked is not None and data.draw(st.booleans()):
            out += ids(order.answered(asked, archive.answer(asked, max(part)), now))
        assert order.whole <= (order.wanted() is None)
        assert order.wanted() is not None or order.deadline is None
    while order.deadline is not None:
        out += ids(order.expire(order.deadline))
    assert out == sorted(set(out))
    assert order.next_id is not None
    assert len(out) + order.counts["lost"] == order.next_id


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_batches_change_nothing(size: int) -> None:
    coming = [0, 1, 3, 2, 2, 5, 6, 9, 8, 7, 4, 10, 12, 11]
    order = Continuity(0)
    out: list[int] = []
    for k in range(0, len(coming), size):
        out += ids(order.take(trades(*coming[k : k + size]), 0.0))
    assert out == list(range(13))
