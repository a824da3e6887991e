"""Where a recording goes on after any end, and when its book needs a snapshot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.live.recorder_world import BEGIN_NS, own_line, quote_line, trade_line, write_lines
from tests.live.test_recorder_landing import INSTRUMENT
from vostok_core.lake.recorder_folder import SUFFIX
from vostok_core.times import HOUR
from vostok_live.feed.events import DepthDiff, DepthSnapshot
from vostok_live.recorder.progress import Progress, find_progress
from vostok_live.recorder.rows import trades_in
from vostok_live.recorder.sync import BookSync

MARKET = BEGIN_NS // 1_000


def heartbeat(folder: Path, **content: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told = {"tick": "agg_trade", "exchange": "embedded"} | content
    (folder / "heartbeat.json").write_text(json.dumps(told))


def find(folder: Path) -> Progress:
    return find_progress(folder, INSTRUMENT, "embedded")


def segment(folder: Path, number: int, *lines: str, cut: int = 0) -> None:
    write_lines(folder / f"20250331T23-0000000{number}{SUFFIX}", lines, cut=cut)


def test_without_anything_it_begins_with_the_first_trade(tmp_path: Path) -> None:
    assert find(tmp_path / "nowhere") == Progress()
    heartbeat(tmp_path, next_id=None, trade_ts=None)
    segment(tmp_path, 1, quote_line(1, 1))
    assert find(tmp_path) == Progress()


def test_segments_lead_on_from_the_heartbeat(tmp_path: Path) -> None:
    heartbeat(tmp_path, next_id=5, trade_ts=MARKET)
    segment(tmp_path, 1, trade_line(3, 3), trade_line(5, 5), trade_line(6, 6))
    segment(tmp_path, 2, trade_line(7, 7), trade_line(8, 8), cut=20)
    found = find(tmp_path)
    assert found == Progress(8, MARKET + 7_000_000)


def test_a_hole_that_was_being_filled_is_filled_by_the_next(tmp_path: Path) -> None:
    """Trades 5 to 7 were missed; REST had brought 5 when it was killed."""
    heartbeat(tmp_path, next_id=3, trade_ts=MARKET)
    body = [json.loads(trade_line(5, 5).split(" ", 1)[1])["data"]]
    fetched = own_line(9, vostok="trades", from_id=5, body=body)
    segment(tmp_path, 1, trade_line(3, 3), trade_line(4, 4), trade_line(8, 8), fetched)
    assert find(tmp_path).next_id == 6


def test_segments_without_a_heartbeat_are_enough(tmp_path: Path) -> None:
    segment(tmp_path, 1, trade_line(8, 8), trade_line(7, 7))
    assert find(tmp_path).next_id == 9


def test_ids_of_another_exchange_or_kind_lead_nowhere(tmp_path: Path) -> None:
    heartbeat(tmp_path, next_id=5, trade_ts=MARKET, exchange="binance")
    assert find(tmp_path) == Progress()
    heartbeat(tmp_path, next_id=5, trade_ts=MARKET, tick="trade")
    assert find(tmp_path) == Progress()
    heartbeat(tmp_path, next_id=5, trade_ts=MARKET)
    about = {"version": 1, "instrument": "x", "up": False, "tick": "agg_trade"}
    for number, exchange in enumerate(("binance", "embedded")):
        begun = own_line(0, vostok="begun", exchange=exchange, **about)
        segment(tmp_path, number, begun, trade_line(5 + number, 5))
    assert find(tmp_path).next_id == 5, "trade 6 follows, and 5 is of elsewhere"


def test_what_is_too_long_ago_is_not_gone_on_with() -> None:
    progress = Progress(5, MARKET)
    assert progress.within(MARKET + HOUR, HOUR) == progress
    assert progress.within(MARKET + HOUR + 1, HOUR) == Progress(skipped_from=5)
    assert Progress().within(MARKET, HOUR) == Progress()
    assert "with trade 5" in progress.said
    assert "first trade" in Progress().said


@pytest.mark.parametrize("text", ["", "{", '{"stream":"x@trade"}', '{"vostok":"trades"}', "trade"])
def test_lines_without_trades_hold_none(text: str) -> None:
    assert trades_in(text.encode(), INSTRUMENT) == []
    assert trades_in(trade_line(1, 1, symbol="XYZUSDT").split(" ", 1)[1].encode(), INSTRUMENT) == []


def diff(first: int, last: int) -> DepthDiff:
    return DepthDiff("X", first, last, 0, [], [], 0)


def test_a_new_book_wants_a_snapshot_and_a_break_wants_another() -> None:
    book = BookSync()
    assert book.wants()
    book.stood(DepthSnapshot(5, [], [], 0))
    assert not book.wants()
    book.changed(diff(4, 7))
    assert not book.wants()
    book.changed(diff(9, 9))
    assert book.wants()
    assert book.breaks == 1
    book.stood(DepthSnapshot(7, [], [], 0))
    assert book.wants(), "it is from before the break"
    book.stood(DepthSnapshot(8, [], [], 0))
    assert not book.wants()
    book.renew()
    assert book.wants()
    book.stood(DepthSnapshot(9, [], [], 0))
    assert not book.wants()


def test_numbers_that_begin_anew_are_a_break() -> None:
    book = BookSync()
    book.stood(DepthSnapshot(5_000_000, [], [], 0))
    book.changed(diff(5_000_001, 5_000_009))
    book.changed(diff(1, 3))
    assert (book.breaks, book.wants()) == (1, True)
    book.stood(DepthSnapshot(2, [], [], 0))
    assert not book.wants()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(1, 30), st.integers(0, 4)),
            st.integers(0, 34).map(lambda last: (last, None)),
        ),
        max_size=25,
    )
)
def test_a_snapshot_is_wanted_exactly_while_none_goes_before_the_newest_run(
    events: list[tuple[int, int | None]],
) -> None:
    """Against the newest run of changes, gathered in a list."""
    book = BookSync()
    run: list[tuple[int, int]] = []
    newest = -1
    for number, length in events:
        if length is None:
            book.stood(DepthSnapshot(number, [], [], 0))
            newest = max(newest, number)
        else:
            change = number, number + length
            book.changed(diff(*change))
            if run and change[1] <= run[-1][1]:
                pass
            elif run and change[0] <= run[-1][1] + 1:
                run.append(change)
            else:
                run = [change]
        told = newest >= 0 and (not run or newest + 1 >= run[0][0])
        assert book.wants() == (not told)
