"""News dated anew when the assumed lag is another."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vostok_core.hashing import hash_frame
from vostok_core.lake.store import Lake
from vostok_core.sentiment.currency import SentimentRules, stale_scores
from vostok_core.sentiment.days import scores_day, write_news
from vostok_core.sentiment.items import NewsBatch, RawItem, lag_of, news_batch, news_version
from vostok_core.sentiment.lexicon import LEXICON
from vostok_core.times import DAY, HOUR, MINUTE, day_start, utc

FIRST = date(2024, 3, 1)
DAYS = [FIRST + timedelta(days=k) for k in range(8)]
START, LONG_AFTER = day_start(FIRST), day_start(FIRST) + 30 * DAY
LAGS = (0, 2 * MINUTE, 3 * HOUR, 26 * HOUR)

Entry = tuple[str, int, int]
"""Title, publication and last edit, microseconds."""


def batch(entries: list[Entry], lag: int) -> NewsBatch:
    raw = [RawItem(title, "", "", title, at, edited) for title, at, edited in entries]
    return news_batch(raw, "wire", lag_us=lag)


def write(lake: Lake, entries: list[Entry], lag: int, days: list[date] = DAYS) -> None:
    write_news(lake, batch(entries, lag), days, LONG_AFTER, lag)


def news(lake: Lake) -> dict[date, pl.DataFrame]:
    """The days that have rows."""
    found = {day: lake.read("news", date=day) for day in lake.days("news")}
    return {day: rows for day, rows in found.items() if rows.height}


STORIES: list[Entry] = [
    ("plain", START + HOUR, START + HOUR),
    ("edited", START + 2 * HOUR, START + 9 * HOUR),
    ("at night", START + DAY - 3 * MINUTE, START + DAY - 3 * MINUTE),
    ("in the morning", START + 2 * DAY + MINUTE, START + 2 * DAY + MINUTE),
]


@pytest.mark.parametrize("before", LAGS)
@pytest.mark.parametrize("after", LAGS)
def test_a_lake_dated_anew_holds_what_one_that_was_dated_so_at_once_holds(
    tmp_path, before: int, after: int
) -> None:
    once, anew = Lake.open(tmp_path / "once"), Lake.open(tmp_path / "anew")
    write(once, STORIES, after)
    write(anew, STORIES, before)
    write(anew, [], after, [])
    assert news(anew).keys() == news(once).keys()
    for day, rows in news(once).items():
        assert rows.equals(news(anew)[day]), day
    # The days of either lag say by which they were dated, also those that lost all their items.
    for day in {*DAYS, *news(anew)}:
        assert anew.info("news", date=day).code_version == news_version(after)


def test_what_was_truly_seen_stays_as_it_was(lake: Lake) -> None:
    seen = START + 5 * HOUR
    raw = [RawItem("plain", "", "", "plain", START + HOUR)]
    followed = news_batch(raw, "another", lag_us=0, first_seen_at=seen)
    write_news(lake, followed, DAYS, LONG_AFTER, 0)
    write(lake, STORIES[1:], 0)
    held = lake.read("news", date=FIRST).filter(title="plain")
    assert held["first_seen_at"].item() == utc(seen)
    write(lake, [], 2 * MINUTE)
    assert lake.read("news", date=FIRST).filter(title="plain").equals(held)
    (edited,) = lake.read("news", date=FIRST).filter(title="edited").iter_rows(named=True)
    assert edited["first_seen_at"] == edited["available_at"] == utc(START + 9 * HOUR + 2 * MINUTE)


def test_the_feeds_that_were_read_for_a_day_stay_with_it(lake: Lake) -> None:
    write(lake, STORIES, 0)
    before = {day: dict(lake.info("news", date=day).inputs) for day in DAYS}
    write(lake, [], 3 * HOUR, [])
    assert {day: dict(lake.info("news", date=day).inputs) for day in DAYS} == before


def test_dating_by_the_same_lag_writes_nothing_else(lake: Lake) -> None:
    write(lake, STORIES, 2 * MINUTE)
    held = {day: lake.info("news", date=day).path.stat().st_mtime_ns for day in DAYS}
    write(lake, [], 2 * MINUTE, [])
    assert {day: lake.info("news", date=day).path.stat().st_mtime_ns for day in DAYS} == held


def test_days_that_do_not_say_their_lag_are_dated_by_what_their_items_say(lake: Lake) -> None:
    write(lake, STORIES, 2 * MINUTE)
    for day in DAYS:
        info, rows = lake.load("news", date=day)
        lake.write("news", rows, code_version="3", inputs=info.inputs, date=day)
    write(lake, [], 3 * HOUR, [])
    (edited,) = lake.read("news", date=FIRST).filter(title="edited").iter_rows(named=True)
    assert edited["first_seen_at"] == utc(START + 12 * HOUR)


class Dying(Lake):
    """A lake whose process dies after some writes."""

    left = 0

    def write(self, *arguments: object, **named: object) -> object:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().write(*arguments, **named)


@pytest.mark.parametrize(("before", "after"), [(0, 26 * HOUR), (26 * HOUR, 0)])
def test_news_that_are_dated_anew_are_never_gone_and_end_as_they_should(
    tmp_path, before: int, after: int
) -> None:
    dense = [(f"{k}", START + k * HOUR, START + k * HOUR + (k % 3) * MINUTE) for k in range(4 * 24)]
    names = {entry[0] for entry in dense}
    once = Lake.open(tmp_path / "once")
    write(once, dense, after)
    for writes in range(40):
        lake = Lake.open(tmp_path / f"lake-{writes}")
        write(lake, dense, before)
        dying = Dying(lake.root)
        dying.left = writes
        try:
            write(dying, [], after, [])
            died = False
        except KeyboardInterrupt:
            died = True
        assert {t for rows in news(lake).values() for t in rows["title"]} == names
        write(lake, [], after, [])
        assert {day: hash_frame(rows) for day, rows in news(lake).items()} == {
            day: hash_frame(rows) for day, rows in news(once).items()
        }
        if not died:
            break
    assert not died
    assert writes > 3


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 4 * 24 * 60), st.integers(0, 600)), min_size=1, max_size=12),
    st.lists(st.sampled_from(LAGS), min_size=2, max_size=4),
)
def test_lags_one_after_the_other_end_as_the_last_alone(tmp_path_factory, times, lags) -> None:
    entries = [
        (f"{k}", START + at * MINUTE, START + (at + edit) * MINUTE)
        for k, (at, edit) in enumerate(times)
    ]
    root = tmp_path_factory.mktemp("lags")
    once, anew = Lake.open(root / "once"), Lake.open(root / "anew")
    write(once, entries, lags[-1])
    write(anew, entries, lags[0])
    for lag in lags[1:]:
        write(anew, [], lag, [])
    assert {day: hash_frame(rows) for day, rows in news(anew).items()} == {
        day: hash_frame(rows) for day, rows in news(once).items()
    }


def test_a_mix_of_lags_that_a_kill_left_is_dated_by_one(tmp_path) -> None:
    mixed, once = Lake.open(tmp_path / "mixed"), Lake.open(tmp_path / "once")
    write(mixed, STORIES, 0)
    dying = Dying(mixed.root)
    dying.left = 1
    with pytest.raises(KeyboardInterrupt):
        write(dying, [], 3 * HOUR, [])
    said = {lag_of(mixed.info("news", date=day).code_version) for day in mixed.days("news")}
    assert said == {0, 3 * HOUR}
    write(mixed, [], 2 * MINUTE, [])
    write(once, STORIES, 2 * MINUTE)
    assert {day: hash_frame(rows) for day, rows in news(mixed).items()} == {
        day: hash_frame(rows) for day, rows in news(once).items()
    }


def test_scores_of_news_that_were_dated_by_another_lag_are_stale_until_they_are_dated_anew(
    lake: Lake,
) -> None:
    write(lake, STORIES, 0)
    before, after = (SentimentRules.of(LEXICON, ["BTC"], lag) for lag in (0, 3 * HOUR))

    def score() -> None:
        for day in DAYS:
            frame, inputs = scores_day(lake, day, LEXICON, ["BTC"])
            lake.write(
                "sentiment_scores", frame, code_version=before.scores, inputs=inputs, date=day
            )

    score()
    assert [stale_scores(lake, day, before) for day in DAYS] == [None] * len(DAYS)
    found = stale_scores(lake, FIRST, after)
    assert found is not None
    assert found.assets == ("news", "sentiment_scores", "sentiment")
    write(lake, [], 3 * HOUR, [])
    # Now the days whose items have changed are to be scored again, and no others.
    stale = [day for day in DAYS if stale_scores(lake, day, after)]
    assert stale == [FIRST, DAYS[1], DAYS[2]]
    score()
    assert [stale_scores(lake, day, after) for day in DAYS] == [None] * len(DAYS)
