"""Sentiment as bars close: the bits of partitions, and no row that ever changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vostok_core.features.frames import sentiment_rows
from vostok_core.features.inputs import S_ITEMS, S_SCORE_SUM
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.live.sentiment import LiveSentiment, lake_news, rows_for
from vostok_core.sentiment.aggregate import score_day, sentiment_day
from vostok_core.sentiment.items import RawItem, news_batch
from vostok_core.times import DAY, HOUR, MINUTE, SECOND, day_start

TODAY = date(2024, 3, 2)
START = day_start(TODAY)
LAG = 2 * MINUTE
INTERVALS = (30 * SECOND, MINUTE, 5 * MINUTE, HOUR, DAY)


class Shouting:
    """Scores by exclamation and question marks."""

    name = "shouting"
    version = "1"

    def score(self, texts: Sequence[str]) -> np.ndarray:
        return np.array(
            [min(1.0, 0.1 * t.count("!")) - min(1.0, 0.1 * t.count("?")) for t in texts]
        )


Row = tuple[str, str, int, float]


def scores(*rows: Row) -> pl.DataFrame:
    """Rows of `sentiment_scores`: item, asset, available_at (µs after START), score."""
    return pl.DataFrame(
        [(item, asset, START + at, score, "shouting", "1") for item, asset, at, score in rows],
        schema=table("sentiment_scores").schema,
        orient="row",
    )


def ends_of(interval: int, days: int = 3) -> np.ndarray:
    """Ends of the bars of the day before, the day and the day after."""
    return START - DAY + interval * np.arange(1, days * DAY // interval + 1, dtype=np.int64)


def partitioned(ends: np.ndarray, interval: int, frame: pl.DataFrame) -> np.ndarray:
    """What the sentiment pack sees: partitions of minutes, one after the other, put on bars."""
    minutes = [
        sentiment_day(frame, "BTC", TODAY + timedelta(days=k), Shouting()) for k in (-1, 0, 1)
    ]
    return sentiment_rows(ends, interval, pl.concat(minutes))


def by_hand(ends: np.ndarray, interval: int, rows: Sequence[Row]) -> list[list[float]]:
    """The slow and obvious twin: minutes first, in order of availability, then bars."""
    counted: dict[str, tuple[int, float]] = {}
    for item, asset, at, score in sorted(rows, key=lambda row: (row[2], row[0], row[1])):
        if asset in ("BTC", "*"):
            counted.setdefault(item, (START + at, score))
    minutes: dict[int, list[float]] = {}
    for at, score in counted.values():
        midnight = at // DAY * DAY
        minute = midnight + MINUTE if at == midnight else -(-at // MINUTE) * MINUTE
        sums = minutes.setdefault(minute, [0.0, 0.0, 0.0])
        sums[0] += 1.0
        sums[1] += score
        sums[2] += abs(score)
    told = []
    for end in ends.tolist():
        row = [float(end), 0.0, 0.0, 0.0]
        for minute in sorted(m for m in minutes if end - interval < m <= end):
            for column in range(3):
                row[column + 1] += minutes[minute][column]
        told.append(row)
    return told


_AT = st.one_of(
    st.integers(-DAY, 2 * DAY - 1),
    st.integers(-1440, 2879).map(lambda minute: minute * MINUTE),  # minutes' ends, midnights
    st.sampled_from([-DAY, -1, 0, 1, MINUTE, MINUTE + 1, DAY - 1, DAY, DAY + 1]),
)
_ROWS = st.lists(
    st.tuples(
        st.sampled_from([f"i{k}" for k in range(12)]),  # few names: several tags of one item, ties
        st.sampled_from(["BTC", "*", "ETH"]),
        _AT,
        st.floats(-1, 1),
    ),
    max_size=30,
)


@given(_ROWS, st.sampled_from(INTERVALS))
@settings(max_examples=60, deadline=None)
def test_rows_of_bars_are_those_of_partitions_bit_for_bit(rows: list[Row], interval: int) -> None:
    ends, frame = ends_of(interval), scores(*rows)
    found = rows_for(ends, interval, frame, "BTC", Shouting())
    assert found.tobytes() == partitioned(ends, interval, frame).tobytes()
    if interval >= HOUR:
        assert found.tolist() == by_hand(ends, interval, rows)


@given(_ROWS, st.sampled_from(INTERVALS), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_rows_told_one_by_one_or_several_at_once_are_the_same(
    rows: list[Row], interval: int, step: int
) -> None:
    ends, frame = ends_of(interval), scores(*rows)
    if interval < HOUR:
        ends = ends[ends > START + DAY - HOUR][: 2 * HOUR // interval]  # an hour around midnight
    expected = rows_for(ends, interval, frame, "BTC", Shouting())
    first = int(ends[0]) - interval
    seen = table("news").empty().select("item_id", "source", "published_at")

    def live() -> LiveSentiment:
        made = LiveSentiment("BTC", interval, Shouting(), begin=first, used=first, lag_us=LAG)
        made.seed(frame, seen)
        return made

    one, many = live(), live()
    assert np.array([one.row(int(end)) for end in ends]).tobytes() == expected.tobytes()
    parts = [many.rows(ends[at : at + step]) for at in range(0, len(ends), step)]
    assert np.concatenate(parts).tobytes() == expected.tobytes()


def test_an_hour_of_three_thousand_items_is_summed_as_by_hand() -> None:
    rng = np.random.default_rng(7)
    rows = [
        (f"i{k}", str(rng.choice(["BTC", "*", "ETH"])), int(at), float(score))
        for k, (at, score) in enumerate(
            zip(rng.integers(0, HOUR, 3000), rng.uniform(-1, 1, 3000), strict=True)
        )
    ]
    ends = START + 5 * MINUTE * np.arange(1, 13, dtype=np.int64)
    found = rows_for(ends, 5 * MINUTE, scores(*rows), "BTC", Shouting())
    assert found.tolist() == by_hand(ends, 5 * MINUTE, rows)
    assert (found[:, S_ITEMS] > 100).all()


# As news come


def feed(*entries: tuple[str, int], source: str = "wire", edited: int = 0) -> pl.DataFrame:
    """What a look at a feed shows: title and time of publication, µs after START."""
    raw = [
        RawItem(title, "", "", f"{title}{at}", START + at, START + at + edited if edited else None)
        for title, at in entries
    ]
    return news_batch(raw, source, lag_us=LAG).items


@dataclass
class Run:
    """A run of a daemon, whose journal is a list of frames."""

    journal: list[pl.DataFrame] = field(default_factory=list)
    begin: int = 0
    used: int = 0
    interval: int = MINUTE
    seen: list[pl.DataFrame] = field(default_factory=list)
    told: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.live = LiveSentiment(
            "BTC", self.interval, Shouting(),
            begin=START + self.begin, used=START + self.used, lag_us=LAG,
        )  # fmt: skip
        names = ("item_id", "source", "published_at")
        none = table("news").empty()
        self.live.seed(
            pl.concat([scores(), *self.journal]),
            pl.concat([each.select(names) for each in (none, *self.seen)]),
        )

    def look(self, found: pl.DataFrame, now: int, source: str = "wire") -> pl.DataFrame:
        """Look at a feed; the items that count, with when they do."""
        news = self.live.fresh(found, source, START + now)
        placed = self.live.place(score_day(news, Shouting(), ["BTC"]))
        self.journal.append(placed)
        self.seen.append(news)
        self.live.count(placed)
        self.live.looked(found, source, START + now)
        return news.drop("available_at").join(
            placed.select("item_id", "available_at").unique(), on="item_id"
        )

    def dated(self, found: pl.DataFrame, now: int) -> dict[str, int]:
        """Titles of what counts, and when it does, µs after START."""
        looked = self.look(found, now)
        at = looked["available_at"].to_physical() - START
        return dict(zip(looked["title"], at, strict=True))

    def close(self, end: int) -> np.ndarray:
        row = self.live.row(START + end)
        self.told.append(row)
        return row

    def again(self) -> Run:
        """The run that comes after this one was killed."""
        used = int(self.told[-1][0]) - START if self.told else self.used
        return Run(self.journal, self.begin, used, self.interval, self.seen)


def test_news_count_in_the_bar_that_is_open_when_they_are_first_seen() -> None:
    run = Run()
    run.look(feed(), 0)
    assert run.dated(feed(("Bitcoin!", 10 * SECOND)), 15 * SECOND) == {"Bitcoin!": 15 * SECOND}
    assert run.close(MINUTE).tolist() == [START + MINUTE, 1.0, 0.1, 0.1]
    assert run.close(2 * MINUTE)[S_ITEMS] == 0.0


def test_what_is_seen_after_its_bar_has_closed_counts_in_the_next() -> None:
    run = Run()
    run.look(feed(), 0)
    run.close(MINUTE)  # a trade beyond its end closed it, and our clock is behind
    assert run.dated(feed(("Bitcoin!", 59 * SECOND)), 59 * SECOND) == {"Bitcoin!": MINUTE + 1}
    assert run.close(2 * MINUTE)[S_ITEMS] == 1.0


@pytest.mark.parametrize("last", [MINUTE, DAY, 30 * SECOND])
def test_what_comes_right_after_a_bar_is_in_the_next_whatever_ends_there(last: int) -> None:
    run = Run(begin=last - 30 * SECOND, used=last - 30 * SECOND, interval=30 * SECOND)
    run.look(feed(), last - 20 * SECOND)
    run.close(last)
    run.look(feed(("Bitcoin!", last)), last)
    after = [run.close(last + k * 30 * SECOND)[S_ITEMS] for k in (1, 2)]
    # A minute's sum goes to the bar that ends with it.
    assert after == ([0.0, 1.0] if last % MINUTE == 0 else [1.0, 0.0])


def test_an_item_of_a_publisher_whose_clock_runs_ahead_counts_when_it_says() -> None:
    run = Run()
    run.look(feed(), 0)
    assert run.dated(feed(("Bitcoin!", 90 * SECOND)), 5 * SECOND) == {"Bitcoin!": 90 * SECOND}
    assert [run.close(k * MINUTE)[S_ITEMS] for k in (1, 2)] == [0.0, 1.0]


def test_one_dated_more_than_a_day_ahead_is_looked_at_again() -> None:
    run = Run()
    far = feed(("Bitcoin!", DAY + MINUTE))
    assert run.dated(far, 0) == {}
    assert run.dated(far, 2 * MINUTE) == {"Bitcoin!": DAY + MINUTE}


def test_an_item_counts_once_however_often_it_is_shown_or_edited() -> None:
    run = Run()
    run.look(feed(), 0)
    assert len(run.dated(feed(("Bitcoin and crypto!", 0)), SECOND)) == 1
    assert run.dated(feed(("Bitcoin and crypto!", 0)), 2 * SECOND) == {}
    assert run.journal[-2]["asset"].to_list() == ["*", "BTC"]
    assert run.close(MINUTE)[S_ITEMS] == 1.0


class TestFirstLook:
    """Bars begin at START; the daemon looks for the first time some hours later."""

    NOW = 3 * HOUR + 30 * SECOND

    def test_what_was_published_meanwhile_counts_as_of_the_stated_lag(self) -> None:
        run = Run()
        found = feed(("early", MINUTE), ("now", self.NOW - MINUTE), ("edge", self.NOW - LAG))
        assert run.dated(found, self.NOW) == {
            "early": MINUTE + LAG, "edge": self.NOW, "now": self.NOW,
        }  # fmt: skip
        assert run.seen[-1].sort("title")["backfilled"].to_list() == [True, True, False]
        rows = run.live.rows(START + MINUTE * np.arange(1, 181, dtype=np.int64))
        assert rows[:, S_ITEMS].nonzero()[0].tolist() == [2]  # known at its end

    def test_an_item_that_was_edited_counts_as_of_its_edit(self) -> None:
        run = Run()
        found = feed(("edited", MINUTE), edited=HOUR)
        assert run.dated(found, self.NOW) == {"edited": HOUR + MINUTE + LAG}

    def test_what_a_new_feed_held_before_the_first_bar_is_history(self) -> None:
        run = Run()
        week = [(f"old {k}", -k * HOUR) for k in range(1, 168)]
        assert run.dated(feed(*week, ("on the way", -LAG + 1)), self.NOW) == {"on the way": 1}
        assert run.dated(feed(*week), self.NOW + MINUTE) == {}

    def test_what_the_lake_knows_is_no_news_and_what_it_should_have_known_is_late(self) -> None:
        known = feed(("old", -20 * HOUR), ("older", -30 * HOUR))
        run = Run(seen=[known])
        found = pl.concat([known, feed(("late", -25 * HOUR), ("before", -31 * HOUR))])
        # What is older than the feed had gone back to is only old.
        assert run.dated(found, self.NOW) == {"late": self.NOW}

    def test_with_the_bars_told_it_is_late_in_a_feed_that_was_followed_and_else_history(
        self,
    ) -> None:
        for seen, expected in ((feed(("known", -HOUR)), self.NOW), (feed(), None)):
            run = Run(seen=[seen])
            run.live.rows(START + MINUTE * np.arange(1, 181, dtype=np.int64))
            found = feed(("missed", HOUR), ("open", 3 * HOUR - LAG + SECOND))
            dated = run.dated(found, self.NOW)
            assert dated.get("missed") == expected
            assert dated["open"] == 3 * HOUR + SECOND

    def test_a_feed_that_was_empty_has_news_from_then_on(self) -> None:
        run = Run()
        run.look(feed(), HOUR)
        run.live.rows(START + MINUTE * np.arange(1, 62, dtype=np.int64))
        found = feed(("history", HOUR - LAG - 1), ("on the way", HOUR - LAG), ("new", HOUR))
        now = HOUR + 90 * SECOND
        assert run.dated(found, now) == {"on the way": now, "new": now}


def test_between_two_looks_of_a_run_whatever_appears_is_first_seen_now() -> None:
    run = Run()
    run.look(feed(("a", HOUR - 10 * MINUTE)), HOUR)
    later = 4 * HOUR  # the feed was away for three hours
    run.live.rows(START + MINUTE * np.arange(1, 181, dtype=np.int64))
    open_bar = ("open", later - 3 * MINUTE)
    found = feed(("b", HOUR), ("late", HOUR - 5 * MINUTE), ("older than it went", 0), open_bar)
    assert run.dated(found, later) == {"b": later, "late": later, "open": later}
    assert not run.seen[-1]["backfilled"].any()


class TestRestart:
    def test_items_that_are_journaled_keep_their_time_and_rows_their_bits(self) -> None:
        run = Run()
        run.look(feed(), 0)
        shown = [("Bitcoin!", 0), ("Crypto??", SECOND)]
        run.look(feed(*shown), 40 * SECOND)
        told = [run.close(k * MINUTE) for k in (1, 2, 3)]
        assert told[0][S_ITEMS] == 2.0
        run = run.again()
        # By the lag it was known when nobody looked, and the bars of that time are not told.
        away = ("Bitcoin while away!", 5 * MINUTE)
        assert run.dated(feed(*shown, away), 20 * MINUTE) == {away[0]: 7 * MINUTE}
        rows = run.live.rows(START + MINUTE * np.arange(1, 22, dtype=np.int64))
        assert rows[:3].tobytes() == np.array(told).tobytes()
        assert rows[3:, S_ITEMS].nonzero()[0].tolist() == [3]

    @pytest.mark.parametrize("followed", [True, False])
    def test_a_row_that_was_used_stays_though_news_of_its_time_come(self, followed: bool) -> None:
        run = Run()
        run.look(feed(("before", 0)) if followed else feed(), SECOND)
        told = np.array([run.close(k * MINUTE) for k in range(1, 11)])
        run = run.again()
        late = {"Bitcoin!": HOUR} if followed else {}
        found = feed(("Bitcoin!", 8 * MINUTE), ("Bitcoin!!", 8 * MINUTE + 1))
        assert run.dated(found, HOUR) == late | {"Bitcoin!!": 10 * MINUTE + 1}
        rows = run.live.rows(START + MINUTE * np.arange(1, 12, dtype=np.int64))
        assert rows[:10].tobytes() == told.tobytes()
        assert rows[10, S_SCORE_SUM] == 0.2

    def test_also_while_the_rows_that_were_used_are_told_again(self) -> None:
        run = Run()
        run.look(feed(("before", 0)), SECOND)
        told = np.array([run.close(k * MINUTE) for k in range(1, 11)])
        run = run.again()
        first = run.live.rows(START + MINUTE * np.arange(1, 4, dtype=np.int64))
        assert run.live.watermark == START + 10 * MINUTE
        assert run.dated(feed(("Bitcoin!", 5 * MINUTE)), 8 * MINUTE) == {
            "Bitcoin!": 10 * MINUTE + 1
        }
        rest = run.live.rows(START + MINUTE * np.arange(4, 12, dtype=np.int64))
        assert np.concatenate((first, rest))[:10].tobytes() == told.tobytes()
        assert rest[-1, S_ITEMS] == 1.0


_TITLES = st.sampled_from(
    ["Bitcoin!", "Bitcoin and crypto!!", "Crypto?", "Ether!!!", "nothing", "BTC? ETH!!"]
)
_ENTRY = st.tuples(_TITLES, st.integers(-10 * MINUTE, 10 * MINUTE) | st.sampled_from([0, -LAG]))


class Lives(RuleBasedStateMachine):
    """A daemon that looks at feeds, closes bars, and is killed at any moment."""

    @initialize(
        interval=st.sampled_from([30 * SECOND, MINUTE, 5 * MINUTE]),
        begin=st.sampled_from([0, DAY - 10 * MINUTE]),
    )
    def start(self, interval: int, begin: int) -> None:
        self.interval, self.begin = interval, begin
        self.now = begin + 1
        self.shown: dict[str, list[tuple[str, int]]] = {"wire": [], "other": []}
        self.run = Run(begin=begin, used=begin, interval=interval)
        self.rows: dict[int, bytes] = {}
        self.asked = begin

    @rule(source=st.sampled_from(["wire", "other"]), entries=st.lists(_ENTRY, max_size=4))
    def look(self, source: str, entries: list[tuple[str, int]]) -> None:
        self.shown[source] += [(title, self.now + at) for title, at in entries]
        self.run.look(feed(*self.shown[source], source=source), self.now, source)

    @rule(by=st.integers(1, 20 * MINUTE) | st.sampled_from([MINUTE, 5 * MINUTE]))
    def wait(self, by: int) -> None:
        self.now += by

    @rule(late=st.booleans())
    def close(self, late: bool) -> None:
        """Close the bars that are over; where a trade came early, the next one as well."""
        over = self.now - self.begin
        ends = self.begin + self.interval * np.arange(1, over // self.interval + 1 + late)
        ends = ends[ends > self.asked]
        if len(ends):
            self.asked = int(ends[-1])
            for row in self.run.live.rows(START + ends.astype(np.int64)):
                self.tell(row)

    def tell(self, row: np.ndarray) -> None:
        assert self.rows.setdefault(int(row[0]), row.tobytes()) == row.tobytes()

    @precondition(lambda self: self.rows)
    @rule()
    def kill(self) -> None:
        """Begin anew from the journal: the bars up to now are told again."""
        run = self.run
        self.run = Run(run.journal, self.begin, max(self.rows) - START, self.interval, run.seen)
        self.asked = self.begin

    @invariant()
    def the_journal_says_every_row_that_was_used(self) -> None:
        if getattr(self, "rows", None):
            ends = np.array(sorted(self.rows), dtype=np.int64)
            frame = pl.concat([scores(), *self.run.journal])
            found = rows_for(ends, self.interval, frame, "BTC", Shouting())
            assert found.tobytes() == b"".join(self.rows[end] for end in ends.tolist())
            assert found.tolist() == by_hand(
                ends, self.interval,
                [
                    (item, asset, at - START, score)
                    for item, asset, at, score in frame.select(
                        "item_id", "asset", pl.col("available_at").to_physical(), "score"
                    ).iter_rows()
                ],
            )  # fmt: skip


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


# The lake


def test_the_lake_says_what_it_has_seen_and_what_becomes_available_later(lake: Lake) -> None:
    yesterday = TODAY - timedelta(days=1)
    ahead = news_batch(
        [
            RawItem("Bitcoin!", "", "", "ahead", START + 10 * SECOND),
            RawItem("Bitcoin?", "", "", "before", START - HOUR),
        ],
        "wire", lag_us=LAG, first_seen_at=START - SECOND,
    ).items  # fmt: skip
    today = feed(("Bitcoin today!", 0))
    for day, news in ((yesterday, ahead), (TODAY, today)):
        lake.write("news", news, code_version="1", date=day)
        lake.write(
            "sentiment_scores", score_day(news, Shouting(), ["BTC"]), code_version="1", date=day
        )
    known = lake_news(lake, TODAY)
    assert known.seen.columns == ["item_id", "source", "published_at"]
    assert set(known.seen["item_id"]) == set(ahead["item_id"])
    assert known.news["title"].to_list() == ["Bitcoin!"]
    assert known.scores.select("asset", "score").rows() == [("BTC", 0.1)]
    # So the day's first row is that of its partition.
    live = LiveSentiment("BTC", MINUTE, Shouting(), begin=START, used=START, lag_us=LAG)
    live.seed(known.scores, known.seen)
    expected = sentiment_day(known.scores, "BTC", TODAY, Shouting())
    assert live.row(START + MINUTE)[1:].tolist() == list(expected.row(0)[1:]) == [1.0, 0.1, 0.1]


def test_a_lake_without_news_knows_nothing(lake: Lake) -> None:
    known = lake_news(lake, TODAY)
    assert (known.seen.height, known.news.height, known.scores.height) == (0, 0, 0)
