"""A recorded book in order: each change once, what is missing said, and the book told from it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vostok_core.errors import MissingPartition
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.book_days import (
    BOOK_VERSION,
    MADE,
    book_day,
    book_days,
    book_inputs,
    is_current,
)
from vostok_core.market.books import (
    book_after,
    book_findings_frame,
    inspect_recordings,
    merge_depth,
    merge_quotes,
)

DAY = date(2025, 3, 4)
START = datetime(2025, 3, 4, tzinfo=UTC)
NAME = "binance.spot.BTC-USDT"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def quotes(*rows: tuple[int, float], bid: float = 10.0, ask: float = 11.0) -> pl.DataFrame:
    """Rows of `raw_quotes`: number and second of each."""
    return pl.DataFrame(
        [(u, at(s), at(s), bid, 1.0, ask, 2.0) for u, s in rows],
        schema=table("raw_quotes").schema,
        orient="row",
    )


def depth(*rows: tuple[int, int, float, bool]) -> pl.DataFrame:
    """Rows of `raw_depth`: first and last number, second, whether it is a snapshot."""
    return pl.DataFrame(
        [(a, b, at(s), at(s), snapshot, [float(b)], [1.0], [], []) for a, b, s, snapshot in rows],
        schema=table("raw_depth").schema,
        orient="row",
    )


def covered(*spans: tuple[float, float, str], kind: str = "covered") -> pl.DataFrame:
    return pl.DataFrame(
        [(kind, at(a), at(b), 1, float("nan"), why, "s") for a, b, why in spans],
        schema=table("recordings").schema,
        orient="row",
    )


def kinds(findings: Sequence[object]) -> list[tuple[str, str]]:
    frame = book_findings_frame(findings)  # type: ignore[arg-type]
    return list(zip(frame["kind"], frame["severity"], strict=True))


def test_quotes_of_two_connections_are_one_stream() -> None:
    rows, found = merge_quotes([quotes((5, 1), (6, 2), (8, 3)), quotes((6, 2.5), (7, 2.6))])
    assert rows["update_id"].to_list() == [5, 6, 7, 8]
    assert rows["ts"].to_list() == [at(1), at(2), at(2.6), at(3)]
    assert kinds(found) == [("duplicate", "info")]


def test_times_of_quotes_never_go_back() -> None:
    rows, found = merge_quotes([quotes((5, 9), (6, 2), (7, 8), (8, 10))])
    assert rows["ts"].to_list() == [at(9), at(9), at(9), at(10)]
    assert rows["seen_ts"].to_list() == [at(9), at(2), at(8), at(10)]
    ((kind, severity),) = kinds(found)
    assert (kind, severity) == ("late", "warn")


def test_two_contents_of_one_change_are_an_error_and_the_first_stays() -> None:
    rows, found = merge_quotes([quotes((5, 2), bid=9.0), quotes((5, 1), bid=8.0)])
    assert rows["bid"].to_list() == [8.0]
    assert kinds(found) == [("duplicate", "error")]


def test_a_bid_above_the_ask_is_found() -> None:
    _, found = merge_quotes([quotes((5, 1), bid=12.0), quotes((6, 2))])
    assert kinds(found) == [("crossed", "warn")]
    _, found = merge_quotes([quotes(*((k, k) for k in range(30)), bid=11.0)])
    (finding,) = found
    assert finding.count == 30


def test_what_the_day_before_has_is_not_repeated() -> None:
    rows, _ = merge_quotes([quotes((5, 1), (6, 2))], [4, 5])
    assert rows["update_id"].to_list() == [6]
    before = pl.DataFrame({"last_id": [9, 12], "snapshot": [True, False]})
    rows, found = merge_depth([depth((10, 12, 1, False), (13, 14, 2, False))], before)
    assert rows["last_id"].to_list() == [14]
    assert found == []


def test_a_break_lasts_until_a_snapshot_goes_before_what_comes() -> None:
    rows = depth(
        (1, 3, 1, False), (2, 2, 1.5, True), (4, 5, 2, False), (8, 9, 10, False),
        (10, 11, 11, False), (5, 5, 11.5, True), (10, 10, 12, True), (12, 13, 13, False),
    )  # fmt: skip
    merged, found = merge_depth([rows])
    assert merged.filter(~pl.col("snapshot"))["last_id"].to_list() == [3, 5, 9, 11, 13]
    frame = book_findings_frame(found)
    assert frame["kind"].to_list() == ["unsynced", "sequence", "unsynced"]
    assert frame["ts"].to_list() == [at(1), at(2), at(10)]
    assert frame["end_ts"].to_list() == [at(1.5), at(10), at(12)]
    assert frame["count"].to_list() == [1, 2, 2]
    assert frame["unknown"].all()


def test_changes_that_overlap_are_no_break() -> None:
    _, found = merge_depth([depth((0, 0, 0, True), (1, 3, 1, False), (2, 5, 2, False))])
    assert found == []


def test_a_run_that_goes_on_from_the_day_before_is_known() -> None:
    before = pl.DataFrame({"last_id": [4, 7], "snapshot": [True, False]})
    _, found = merge_depth([depth((8, 9, 1, False))], before)
    assert found == []
    _, found = merge_depth([depth((9, 9, 1, False))], before)
    assert kinds(found) == [("sequence", "warn"), ("unsynced", "warn")]


def test_nothing_at_all_is_no_error() -> None:
    assert merge_quotes([])[0].is_empty()
    assert merge_depth([])[0].is_empty()
    assert book_findings_frame([]).schema == table("book_quality").schema


def test_spans_that_nobody_recorded_are_found_to_the_day_s_ends() -> None:
    rows = covered((60, 100, "the recorder was killed"), (101, 200, "hour"), (199, 300, "dead"))
    found = inspect_recordings(rows, DAY)
    frame = book_findings_frame(found)
    assert frame["ts"].to_list() == [at(0), at(100), at(300)]
    assert frame["end_ts"].to_list() == [at(60), at(101), at(86_400) - timedelta(microseconds=1)]
    assert "killed" in frame["detail"][1]
    assert "dead" in frame["detail"][2]


def test_captures_that_follow_each_other_are_one() -> None:
    whole = [(0, 100, "the file ends"), (100.9, 86_400, "hour")]
    assert inspect_recordings(covered(*whole), DAY) == []
    apart = [(0, 100, "the file ends"), (101.1, 86_400, "hour")]
    assert len(inspect_recordings(covered(*apart), DAY)) == 1
    lost = [(0, 100, "reset"), (100.9, 86_400, "hour")]
    assert len(inspect_recordings(covered(*lost), DAY)) == 1


def test_a_clock_that_is_off_is_found() -> None:
    rows = covered((0, 0, ""), (5, 5, ""), (9, 9, ""), kind="clock")
    rows = rows.with_columns(value=pl.Series([0.1, -1.27, float("nan")]))
    found = [each for each in inspect_recordings(rows, DAY) if each.kind == "clock"]
    (finding,) = found
    assert "1.27 s ahead of" in finding.detail


changes = st.lists(st.integers(1, 4), min_size=1, max_size=30)


@given(lengths=changes, seed=st.integers(0, 2**32))
def test_however_changes_were_received_the_book_is_that_of_the_exchange(
    lengths: list[int], seed: int
) -> None:
    """Against a book that heard everything once and in order."""
    chance = random.Random(seed)
    prices = [float(p) for p in range(1, 8)]
    truth: dict[int, dict[float, float]] = {0: {}}
    rows: list[tuple[object, ...]] = []
    last = 0
    for n, length in enumerate(lengths):
        changed = {
            chance.choice(prices): float(chance.randrange(3)) for _ in range(chance.randrange(4))
        }
        book = {p: q for p, q in (truth[last] | changed).items() if q}
        first, last = last + 1, last + length
        truth[last] = book
        rows.append(
            (first, last, at(n), at(n), False, list(changed), list(changed.values()), [], [])
        )
    stands = chance.choice(list(truth))
    snapshot = truth[stands]
    rows.append(
        (stands, stands, at(99), at(99), True, list(snapshot), list(snapshot.values()), [], [])
    )
    rows += chance.choices(rows, k=chance.randrange(10))  # what two connections both brought
    chance.shuffle(rows)
    cut = chance.randrange(len(rows) + 1)
    schema = table("raw_depth").schema
    parts = [pl.DataFrame(some, schema=schema, orient="row") for some in (rows[:cut], rows[cut:])]
    merged, _ = merge_depth(parts)
    assert merged.height == len(lengths) + 1
    for number, book in truth.items():
        if number < stands:
            with pytest.raises(MissingPartition):
                book_after(merged, number)
        else:
            found = book_after(merged, number)
            assert (found.last_id, found.bids, found.asks) == (number, book, {})


def test_a_book_is_not_told_across_a_break() -> None:
    merged, _ = merge_depth([depth((0, 0, 0, True), (1, 3, 1, False), (5, 6, 2, False))])
    assert book_after(merged, 3).last_id == 3
    with pytest.raises(MissingPartition, match="between 3 and 5"):
        book_after(merged, 6)


def test_a_day_is_current_until_a_part_of_it_or_of_the_day_before_comes(lake: Lake) -> None:
    keys = {"instrument": NAME, "date": DAY}
    with pytest.raises(MissingPartition, match="nothing was recorded"):
        book_day(lake, NAME, DAY)
    lake.write("raw_quotes", quotes((5, 1)), code_version="1", part="a", **keys)
    made, inputs = book_day(lake, NAME, DAY)
    assert not is_current(lake, NAME, DAY)
    for name in MADE:
        lake.write(name, made[name], code_version=BOOK_VERSION, inputs=inputs, **keys)
    assert is_current(lake, NAME, DAY)
    assert book_days(lake, NAME) == [DAY]
    lake.write(
        "raw_quotes", quotes((4, -1), (5, -0.5)), code_version="1", part="a", instrument=NAME,
        date=DAY - timedelta(days=1),
    )  # fmt: skip
    assert not is_current(lake, NAME, DAY)
    made, inputs = book_day(lake, NAME, DAY)
    assert made["quotes"].is_empty(), "the change was received before midnight already"
    assert inputs == book_inputs(lake, NAME, DAY)
    lake.write("raw_depth", depth((1, 2, 3, False)), code_version="1", part="b", **keys)
    made, inputs = book_day(lake, NAME, DAY)
    assert inputs == book_inputs(lake, NAME, DAY)
    assert made["depth"].height == 1
