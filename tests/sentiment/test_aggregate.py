"""Scores and minutes: point in time, once per item, the configured scorer only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import MissingPartition
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME, table
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.sentiment import scorer
from vostok_core.sentiment.aggregate import MINUTES, score_day, sentiment_day
from vostok_core.sentiment.currency import SentimentRules, stale_scores, stale_sentiment
from vostok_core.sentiment.days import feed_key, news_days, scores_day, sentiment_minutes
from vostok_core.sentiment.items import NewsBatch, RawItem, news_batch, news_version
from vostok_core.sentiment.lexicon import LEXICON
from vostok_core.sentiment.scorer import scores_version
from vostok_core.times import DAY, MINUTE, SECOND, day_of, day_start, utc

TODAY = date(2024, 3, 2)
START = day_start(TODAY)
LAG = 2 * MINUTE
BTC = Instrument(
    InstrumentId.parse("binance.spot.BTC-USDT"),
    "agg_trade",
    Decimal("0.01"),
    Decimal("0.00001"),
    Decimal(5),
    600 * SECOND,
)


class Shouting:
    """Scores by exclamation marks; remembers what it was asked."""

    name = "shouting"

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.asked: list[str] = []

    def score(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.array([min(1.0, 0.1 * text.count("!")) for text in texts])


def scores(*rows: tuple[str, str, int, float]) -> pl.DataFrame:
    """Rows of `sentiment_scores`: item, asset, available_at (µs), score."""
    return pl.DataFrame(
        [(*row, "shouting", "1") for row in rows],
        schema=table("sentiment_scores").schema,
        orient="row",
    )


def batch(*entries: tuple[str, int], first_seen_at: int | None = None) -> NewsBatch:
    raw = [RawItem(title, "", "", f"{title}{at}", at) for title, at in entries]
    return news_batch(raw, "wire", lag_us=LAG, first_seen_at=first_seen_at)


def minute_of(frame: pl.DataFrame) -> list[int]:
    """Index of every row with items."""
    return frame["items"].to_numpy().nonzero()[0].tolist()


class TestMinutes:
    def test_a_day_has_its_1440_minutes_by_their_ends(self) -> None:
        frame = sentiment_day(scores(), "BTC", TODAY, Shouting())
        assert frame.schema == table("sentiment").schema
        assert frame.height == MINUTES == 1440
        ends = frame["ts"].to_physical()
        assert ends[0] == START + MINUTE
        assert ends[-1] == START + DAY
        assert (ends.diff().drop_nulls() == MINUTE).all()
        assert frame.select("items", "score_sum", "score_abs_sum").sum().row(0) == (0.0, 0.0, 0.0)

    @pytest.mark.parametrize(
        ("offset", "row"),
        [
            (1, 0),
            (MINUTE, 0),  # the minute's own end
            (MINUTE + 1, 1),
            (90 * SECOND, 1),
            (DAY - 1, 1439),
            (0, 0),  # midnight sharp opens the day
        ],
    )
    def test_an_item_is_in_the_minute_by_whose_end_it_was_available(
        self, offset: int, row: int
    ) -> None:
        frame = sentiment_day(scores(("a", "BTC", START + offset, 0.5)), "BTC", TODAY, Shouting())
        assert minute_of(frame) == [row]

    def test_every_instant_is_counted_in_exactly_one_day(self) -> None:
        for at in (START - 1, START, START + 1, START + DAY - 1, START + DAY):
            total = sum(
                sentiment_day(
                    scores(("a", "BTC", at, 0.5)), "BTC", TODAY + timedelta(days=d), Shouting()
                )["items"].sum()
                for d in (-1, 0, 1)
            )
            assert total == 1.0

    def test_scores_of_the_asset_and_of_the_market_are_summed_and_of_others_not(self) -> None:
        at = START + 30 * SECOND
        frame = sentiment_day(
            scores(("a", "BTC", at, 0.5), ("b", "*", at, -0.25), ("c", "ETH", at, 1.0)),
            "BTC",
            TODAY,
            Shouting(),
        )
        assert frame.row(0)[1:] == (2.0, 0.25, 0.75)

    def test_an_item_about_the_asset_and_the_market_counts_once(self) -> None:
        at = START + 30 * SECOND
        both = scores(("a", "*", at, 0.5), ("a", "BTC", at, 0.5))
        assert sentiment_day(both, "BTC", TODAY, Shouting()).row(0)[1:] == (1.0, 0.5, 0.5)

    def test_other_scorers_and_versions_do_not_count(self) -> None:
        at = START + 30 * SECOND
        rows = scores(("a", "BTC", at, 0.5))
        others = [
            rows.with_columns(scorer=pl.lit("lexicon")),
            rows.with_columns(scorer_version=pl.lit("0")),
        ]
        frame = sentiment_day(pl.concat([rows, *others]), "BTC", TODAY, Shouting())
        assert frame["items"].sum() == 1.0

    def test_sums_equal_a_plain_loop_in_order_of_availability(self) -> None:
        random = np.random.default_rng(5)
        rows = [
            (f"i{i}", str(random.choice(["BTC", "*", "ETH"])), int(at), float(s))
            for i, (at, s) in enumerate(
                zip(START + random.integers(0, DAY, 3000), random.uniform(-1, 1, 3000), strict=True)
            )
        ]
        frame = sentiment_day(scores(*rows), "BTC", TODAY, Shouting())
        expected = [[0.0, 0.0, 0.0] for _ in range(MINUTES)]
        for _, asset, at, score in sorted(rows, key=lambda row: (row[2], row[0])):
            if asset == "ETH":
                continue
            for minute in range(MINUTES):
                low, high = START + minute * MINUTE, START + (minute + 1) * MINUTE
                if low < at <= high or (minute == 0 and at == low):
                    sums = expected[minute]
                    sums[0] += 1.0
                    sums[1] += score
                    sums[2] += abs(score)
        assert [list(row[1:]) for row in frame.iter_rows()] == expected


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["BTC", "*", "ETH"]),
        st.one_of(
            st.integers(-DAY, 2 * DAY),
            st.integers(0, 1440).map(lambda minute: minute * MINUTE),
        ),
        st.floats(-1, 1, allow_subnormal=False),
    ),
    max_size=25,
)


class TestPointInTime:
    @given(_EVENTS, _EVENTS, st.integers(0, 1440), st.randoms(use_true_random=False))
    @settings(max_examples=150, deadline=None)
    def test_what_becomes_available_later_changes_no_earlier_row(
        self,
        past: list[tuple[str, int, float]],
        future: list[tuple[str, int, float]],
        minute: int,
        chance: object,
    ) -> None:
        cut = minute * MINUTE
        known = [event for event in past if event[1] <= cut]
        later = [event for event in past if event[1] > cut]
        changed = [(asset, max(at, cut + 1), score) for asset, at, score in future]

        def rows(
            events: list[tuple[str, int, float]], mark: str
        ) -> list[tuple[str, str, int, float]]:
            return [
                (f"{mark}{i}", asset, START + at, score)
                for i, (asset, at, score) in enumerate(events)
            ]

        def day(*parts: list[tuple[str, str, int, float]]) -> bytes:
            shuffled = [row for part in parts for row in part]
            chance.shuffle(shuffled)  # type: ignore[attr-defined]
            frame = sentiment_day(scores(*shuffled), "BTC", TODAY, Shouting())
            early = frame.filter(pl.col("ts").to_physical() <= START + cut)
            return b"".join(early[c].to_physical().to_numpy().tobytes() for c in early.columns)

        alone = day(rows(known, "k"))
        assert day(rows(known, "k"), rows(later, "l")) == alone
        assert day(rows(known, "k"), rows(changed, "c")) == alone

    def test_an_item_that_is_known_later_does_change_later_rows(self) -> None:
        before = sentiment_day(scores(), "BTC", TODAY, Shouting())
        after = sentiment_day(
            scores(("a", "BTC", START + MINUTE + 1, 1.0)), "BTC", TODAY, Shouting()
        )
        assert before.head(1).equals(after.head(1))
        assert not before.equals(after)


class TestScoring:
    def test_every_item_has_a_row_for_each_asset_it_names(self) -> None:
        news = batch(("Bitcoin and Ether up!!", START), ("Fed holds", START + 1)).items
        frame = score_day(news, Shouting(), ["BTC"])
        assert frame.schema == table("sentiment_scores").schema
        assert frame.select("asset", "score").rows() == [("BTC", 0.2), ("ETH", 0.2), ("*", 0.0)]
        assert frame["available_at"].to_list() == [datetime(2024, 3, 2, 0, 2, tzinfo=UTC)] * 2 + [
            datetime(2024, 3, 2, 0, 2, 0, 1, tzinfo=UTC)
        ]

    def test_what_this_version_has_scored_is_never_scored_again(self) -> None:
        first = score_day(batch(("Bitcoin!", START)).items, Shouting(), [])
        held = first.with_columns(score=pl.lit(-0.5))  # as if it had answered otherwise then
        again = Shouting()
        frame = score_day(
            batch(("Bitcoin!", START), ("Ether!!!", START + 1)).items, again, [], held
        )
        assert again.asked == ["Ether!!!"]
        assert frame.select("asset", "score").rows() == [
            ("BTC", -0.5),
            ("ETH", 0.30000000000000004),
        ]

    def test_a_new_version_scores_beside_the_old(self) -> None:
        news = batch(("Bitcoin!", START)).items
        old = score_day(news, Shouting("1"), [])
        both = score_day(news, Shouting("2"), [], old)
        assert both["scorer_version"].to_list() == ["1", "2"]
        assert both.filter(scorer_version="1").equals(old)

    def test_a_new_asset_of_the_universe_is_tagged_without_scoring_again(self) -> None:
        news = batch(("EDGE and BTC rise!", START)).items
        first = score_day(news, Shouting(), [])
        again = Shouting()
        second = score_day(news, again, ["EDGE"], first)
        assert again.asked == []
        assert second["asset"].to_list() == ["BTC", "EDGE"]

    def test_scoring_a_day_without_news_gives_no_rows(self) -> None:
        assert score_day(batch().items, Shouting(), []).schema == table("sentiment_scores").schema


def test_the_version_of_scores_covers_what_items_are_tagged_with() -> None:
    scorer = Shouting()
    version = scores_version(scorer, ["BTC", "ETH"])
    assert version == scores_version(scorer, ["ETH", "BTC", "BTC"])
    assert version.startswith(scorer.version)
    assert len({version, scores_version(scorer, ["BTC"]), scores_version(LEXICON, ["BTC"])}) == 3


class TestLake:
    def fill(
        self, lake: Lake, one: NewsBatch, *days: date, now: int = START + 100 * DAY
    ) -> list[date]:
        written = list(news_days(lake, one, days, now))
        for day, frame, inputs in written:
            lake.write("news", frame, code_version=news_version(LAG), inputs=inputs, date=day)
        return [day for day, _, _ in written]

    def score(self, lake: Lake, *days: date) -> None:
        for day in days:
            frame, inputs = scores_day(lake, day, Shouting(), ["BTC"])
            lake.write("sentiment_scores", frame, code_version="1", inputs=inputs, date=day)

    def test_news_goes_to_the_day_of_its_first_sight_and_to_no_other(self, lake: Lake) -> None:
        late = batch(("a", START - MINUTE), ("b", START + 5), ("c", START + DAY))
        self.fill(lake, late, TODAY - timedelta(days=1), TODAY)
        assert lake.read("news", date=TODAY)["title"].to_list() == ["a", "b"]
        assert lake.read("news", date=TODAY - timedelta(days=1)).is_empty()
        assert lake.days("news") == [TODAY - timedelta(days=1), TODAY]

    def test_merging_adds_what_is_new_changes_nothing_known_and_is_idempotent(
        self, lake: Lake
    ) -> None:
        self.fill(lake, batch(("a", START)), TODAY, now=START + 3 * MINUTE)
        self.fill(lake, batch(("b", START + 1)), TODAY, now=START + 4 * MINUTE)
        held = lake.info("news", date=TODAY).content_hash
        self.fill(lake, batch(("a", START), ("b", START + 1)), TODAY)
        assert lake.info("news", date=TODAY).content_hash == held
        # Fetched again an hour later: the first sight stays.
        self.fill(lake, batch(("a", START), first_seen_at=START + 3_600 * SECOND), TODAY)
        assert lake.info("news", date=TODAY).content_hash == held
        assert lake.read("news", date=TODAY)["title"].to_list() == ["a", "b"]

    def test_an_item_fetched_again_after_midnight_stays_where_it_was_first_seen(
        self, lake: Lake
    ) -> None:
        yesterday = TODAY - timedelta(days=1)
        story = ("a", START - 2 * MINUTE)
        self.fill(lake, batch(story, first_seen_at=START - MINUTE), yesterday)
        self.fill(lake, batch(story, ("b", START), first_seen_at=START + MINUTE), TODAY)
        assert lake.read("news", date=TODAY)["title"].to_list() == ["b"]

    def test_an_item_that_an_earlier_look_did_not_find_was_not_known_then(self, lake: Lake) -> None:
        look = START + DAY + 75 * MINUTE  # the morning after
        self.fill(lake, batch(("a", START)), TODAY, now=look)
        again, tomorrow = look + DAY, TODAY + timedelta(days=1)
        both = batch(("a", START), ("late", START + MINUTE), ("b", START + DAY))
        written = self.fill(lake, both, tomorrow, now=again)
        # Known at the second look, on a day that is not over and was not asked for.
        assert written == [TODAY + timedelta(days=2), tomorrow]
        assert lake.read("news", date=TODAY)["title"].to_list() == ["a"]
        assert lake.read("news", date=tomorrow)["title"].to_list() == ["b"]
        [late] = lake.read("news", date=written[0]).iter_rows(named=True)
        assert late["title"] == "late"
        assert late["first_seen_at"] == late["available_at"] == utc(again)
        assert not late["backfilled"]
        # Every later look finds it known, and the day is made when it is over.
        third = again + DAY
        held = lake.read("news", date=written[0])
        assert self.fill(lake, both, TODAY, tomorrow, written[0], now=third)[0] == TODAY
        assert lake.read("news", date=written[0]).equals(held)
        assert lake.read("news", date=TODAY)["title"].to_list() == ["a"]

    def test_an_edited_item_is_no_news_however_long_ago_it_was_first_seen(self, lake: Lake) -> None:
        def story(title: str, link: str, published: int) -> NewsBatch:
            return news_batch([RawItem(title, "", link, "guid", published)], "wire", lag_us=LAG)

        self.fill(lake, story("Bitcoin falls", "https://n.x/a?utm=1", START), TODAY)
        held = lake.info("news", date=TODAY).content_hash
        later = TODAY + timedelta(days=30)
        for edited in (
            story("Bitcoin falls sharply", "https://n.x/a?utm=2", START),
            story("Bitcoin falls sharply", "https://n.x/a", START + 30 * DAY),
        ):
            written = self.fill(lake, edited, TODAY, later, now=START + 31 * DAY + MINUTE)
            assert written == [TODAY, later]
            assert lake.info("news", date=TODAY).content_hash == held
            assert lake.read("news", date=later).is_empty()

    def test_a_feed_was_read_no_further_back_than_it_went(self, lake: Lake) -> None:
        days = [TODAY + timedelta(days=k) for k in range(-2, 2)]
        noon = START + 12 * 60 * MINUTE
        look = START + 2 * DAY + MINUTE
        self.fill(lake, batch(), *days, now=look)  # says nothing of any day
        self.fill(lake, batch(("new", noon)), *days, now=look)
        assert [len(lake.info("news", date=day).inputs) for day in days] == [0, 0, 1, 1]
        # History put into the feed later: what is older than it had gone back to is only old.
        history = [(f"old {k}", noon - DAY + k * 60 * MINUTE) for k in range(24)]
        late = ("late", noon + MINUTE)
        now = look + DAY
        self.fill(lake, batch(("new", noon), late, *history), *days, now=now)
        rows = pl.concat([lake.read("news", date=day) for day in lake.days("news")])
        assert rows.filter(~pl.col("backfilled"))["title"].to_list() == ["late"]
        assert rows.filter(title="late")["first_seen_at"].item() == utc(now)
        assert rows.height == 26
        assert rows["available_at"].n_unique() == 26
        # And now it has gone back to there, also for a later reading that doesn't.
        self.fill(lake, batch(("new", noon)), *days, now=now + MINUTE)
        self.fill(lake, batch(("later", noon - DAY + MINUTE)), *days, now=now + DAY)
        [row] = lake.read("news", date=day_of(now + DAY)).iter_rows(named=True)
        assert (row["title"], row["first_seen_at"]) == ("later", utc(now + DAY))

    def test_a_history_that_nobody_looked_at_is_dated_by_the_stated_lag(self, lake: Lake) -> None:
        other = news_batch([RawItem("x", "", "", "x", START)], "other", lag_us=LAG)
        self.fill(lake, other, TODAY)
        assert self.fill(lake, batch(("a", START)), TODAY) == [TODAY]
        row = lake.read("news", date=TODAY).row(by_predicate=pl.col("title") == "a", named=True)
        assert row["first_seen_at"] == utc(START + LAG)
        assert row["backfilled"]
        assert set(lake.info("news", date=TODAY).inputs) == {feed_key("other"), feed_key("wire")}

    def test_what_is_read_of_a_day_that_is_not_over_is_kept_and_the_day_stays_open(
        self, lake: Lake
    ) -> None:
        now, yesterday = START + 75 * MINUTE, TODAY - timedelta(days=1)
        early, later = ("early", START + MINUTE), ("later", START + 70 * MINUTE)
        assert self.fill(lake, batch(early), yesterday, now=now) == [TODAY, yesterday]
        assert lake.info("news", date=TODAY).inputs == {}
        # By the next morning the feed has dropped the early item, and shows one of the same hour.
        self.fill(lake, batch(later), TODAY, now=now + DAY)
        kept = lake.read("news", date=TODAY)
        assert kept["title"].to_list() == ["early", "later"]
        assert kept["backfilled"].to_list() == [True, True]
        assert set(lake.info("news", date=TODAY).inputs) == {feed_key("wire")}

    def test_a_second_look_on_the_same_day_says_nothing_of_the_rest_of_it(self, lake: Lake) -> None:
        now = START + 75 * MINUTE
        self.fill(lake, batch(("a", START)), TODAY, now=now)
        self.fill(lake, batch(("a", START), ("b", START + MINUTE)), TODAY, now=now + DAY)
        assert lake.read("news", date=TODAY)["backfilled"].to_list() == [True, True]

    def test_from_news_to_minutes_with_the_hashes_of_what_was_used(self, lake: Lake) -> None:
        self.fill(lake, batch(("Bitcoin!", START), ("Ether!", START)), TODAY)
        self.score(lake, TODAY)
        frame, inputs = sentiment_minutes(lake, BTC, TODAY, Shouting())
        assert minute_of(frame) == [1]  # published at midnight, known two minutes later
        assert frame["score_sum"].sum() == 0.1
        assert inputs == {
            "sentiment_scores/2024-03-01": "absent",
            "sentiment_scores/2024-03-02": lake.info("sentiment_scores", date=TODAY).content_hash,
        }
        lake.write("sentiment", frame, code_version="1", instrument=str(BTC.id), date=TODAY)
        scored = lake.info("sentiment_scores", date=TODAY)
        assert scored.inputs == {"news": lake.info("news", date=TODAY).content_hash}

    def test_an_item_seen_before_midnight_and_dated_after_it_counts_after_it(
        self, lake: Lake
    ) -> None:
        yesterday = TODAY - timedelta(days=1)
        skewed = batch(("Bitcoin!", START + 10 * SECOND), first_seen_at=START - SECOND)
        self.fill(lake, skewed, yesterday, TODAY)
        self.score(lake, yesterday, TODAY)
        assert lake.read("news", date=yesterday).height == 1
        frame, inputs = sentiment_minutes(lake, BTC, TODAY, Shouting())
        assert minute_of(frame) == [0]
        assert "absent" not in inputs.values()
        assert minute_of(sentiment_minutes(lake, BTC, yesterday, Shouting())[0]) == []

    def test_sentiment_is_stale_with_its_news_scores_and_scorer(self, lake: Lake) -> None:
        name, tomorrow = str(BTC.id), TODAY + timedelta(days=1)
        rules = SentimentRules.of(Shouting(), ["BTC"], LAG)

        def make() -> None:
            for day in (TODAY, tomorrow):
                frame, inputs = scores_day(lake, day, Shouting(), ["BTC"])
                lake.write(
                    "sentiment_scores", frame, code_version=rules.scores, inputs=inputs, date=day
                )
                frame, inputs = sentiment_minutes(lake, BTC, day, Shouting())
                lake.write(
                    "sentiment",
                    frame,
                    code_version=rules.sentiment,
                    inputs=inputs,
                    instrument=name,
                    date=day,
                )

        def reasons(rules: SentimentRules | None = rules) -> dict[date, str]:
            found = stale_sentiment(lake, name, [TODAY, tomorrow], rules)
            return {day: stale.why for day, stale in found.items()}

        self.fill(lake, batch(("Bitcoin!", START)), TODAY, tomorrow)
        make()
        assert reasons() == {}
        # The day after reads this day's scores too.
        seen = batch(("More Bitcoin!", START + 1), first_seen_at=START + 1)
        self.fill(lake, seen, TODAY)
        changed = "its news have changed since they were scored"
        assert reasons() == {TODAY: changed, tomorrow: changed}
        frame, inputs = scores_day(lake, TODAY, Shouting(), ["BTC"])
        lake.write("sentiment_scores", frame, code_version=rules.scores, inputs=inputs, date=TODAY)
        again = f"sentiment_scores/{TODAY} has changed since it was made"
        assert reasons() == {TODAY: again, tomorrow: again}
        make()
        assert reasons() == {}
        before = TODAY - timedelta(days=1)
        self.fill(lake, batch(("Bitcoin?", START - DAY)), before)
        frame, inputs = scores_day(lake, before, Shouting(), ["BTC"])
        lake.write("sentiment_scores", frame, code_version=rules.scores, inputs=inputs, date=before)
        assert set(reasons()) == {TODAY}  # which was made when there was no day before
        make()
        other = SentimentRules.of(LEXICON, ["BTC"], LAG)
        assert set(reasons(other)) == {TODAY, tomorrow}
        assert set(reasons(SentimentRules.of(Shouting(), ["BTC", "ETH"], LAG))) == {TODAY, tomorrow}
        assert reasons(None) == {}
        lagged = SentimentRules.of(Shouting(), ["BTC"], LAG + 1)
        (found, _) = stale_sentiment(lake, name, [TODAY, tomorrow], lagged).values()
        assert found.why == "its news were read or dated by other rules"
        assert found.assets == ("news", "sentiment_scores", "sentiment")

    def test_scores_and_sentiment_are_stale_when_the_code_that_makes_them_is_another(
        self, lake: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rules = SentimentRules.of(Shouting(), ["BTC"], LAG)
        self.fill(lake, batch(("Bitcoin!", START)), TODAY)
        frame, inputs = scores_day(lake, TODAY, Shouting(), ["BTC"])
        lake.write("sentiment_scores", frame, code_version=rules.scores, inputs=inputs, date=TODAY)
        monkeypatch.setattr(scorer, "CODE_VERSION", "another")
        now = SentimentRules.of(Shouting(), ["BTC"], LAG)
        assert now.news == rules.news
        assert now.sentiment != rules.sentiment
        assert stale_scores(lake, TODAY, rules) is None
        assert stale_scores(lake, TODAY, now) is not None

    def test_absent_news_and_scores_are_missing_partitions(self, lake: Lake) -> None:
        with pytest.raises(MissingPartition, match="news"):
            scores_day(lake, TODAY, Shouting(), [])
        with pytest.raises(MissingPartition, match="sentiment_scores"):
            sentiment_minutes(lake, BTC, TODAY, Shouting())

    def test_a_day_of_which_nothing_was_said_has_partitions_all_the_way(self, lake: Lake) -> None:
        self.fill(lake, batch(), TODAY)
        self.score(lake, TODAY)
        frame, _ = sentiment_minutes(lake, BTC, TODAY, Shouting())
        assert frame["items"].sum() == 0.0
        assert frame["ts"].dtype == TIME
