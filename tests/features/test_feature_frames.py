"""Feature frames over a lake: anchored walks, seams, missing days, restarts, and reading back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from vostok_core.errors import CorruptPartition, MissingPartition, StalePartition, UnknownName
from vostok_core.features.frames import BEGINS, feature_frames, live_stream
from vostok_core.features.inputs import SENTIMENT_FIELDS, TS, matrix
from vostok_core.features.leaks import probe_rows
from vostok_core.features.reading import read_features
from vostok_core.features.registry import pack
from vostok_core.features.walk import Stream, walk
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME, table
from vostok_core.market.days import CODE_VERSION
from vostok_core.times import day_start
from vostok_core.times import days as each_day

Land = Callable[..., pl.DataFrame]
CORE = pack("core")
FIRST, LAST = date(2024, 2, 25), date(2024, 3, 3)


def _materialize(
    lake: Lake, instrument: str, days: list[date], name: str = "core", interval: str = "1m"
) -> dict[date, bytes]:
    """Write the features of some days; the bytes of each partition's file."""
    files = {}
    for day, frame, inputs in feature_frames(lake, pack(name), instrument, interval, days):
        info = lake.write(
            "features",
            frame,
            code_version=pack(name).hash,
            inputs=inputs,
            pack=name,
            instrument=instrument,
            interval=interval,
            date=day,
        )
        files[day] = info.path.read_bytes()
    return files


def _values(frame: pl.DataFrame) -> np.ndarray:
    return frame.select(CORE.columns).to_numpy()


def _land_sentiment(lake: Lake, instrument: str, first: date, last: date) -> pl.DataFrame:
    parts = []
    for k, day in enumerate(each_day(first, last)):
        rows = probe_rows("sentiment", 1440, k, gaps=0.0)
        rows[:, TS] = day_start(day) + 60_000_000 * np.arange(1, 1441)
        frame = pl.DataFrame({n: rows[:, j] for j, n in enumerate(SENTIMENT_FIELDS)})
        frame = frame.with_columns(pl.col("ts").cast(pl.Int64).cast(TIME))
        lake.write("sentiment", frame, code_version="test", instrument=instrument, date=day)
        parts.append(frame)
    return pl.concat(parts)


def test_day_holds_its_bars_and_the_features_of_a_walk_from_the_anchor(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    bars = land_bars(FIRST, LAST)
    [(day, frame, inputs)] = feature_frames(lake, CORE, instrument, "1m", [date(2024, 3, 2)])
    own = bars.slice(1440 * 6, 1440)
    assert day == date(2024, 3, 2)
    assert frame.columns == ["ts", "valid", *CORE.columns]
    assert frame.select("ts", "valid").equals(own.select("ts", "valid"))
    assert own["valid"].n_unique() == 2
    anchored = matrix(bars.slice(1440 * 3), CORE.fields)  # 28 February: two days before the first
    np.testing.assert_array_equal(_values(frame), walk(CORE, anchored)[1440 * 3 : 1440 * 4])
    assert set(inputs) == {"bars"}


def test_days_asked_for_in_any_order_and_company_give_the_same_bytes(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    land_bars(FIRST, LAST)
    every = list(each_day(date(2024, 2, 27), LAST))
    together = _materialize(lake, instrument, every)
    assert sorted(together) == every
    assert _materialize(lake, instrument, [*every[::-1], every[0]]) == together
    for day in every:
        assert _materialize(lake, instrument, [day]) == {day: together[day]}


def test_inputs_name_every_partition_from_the_anchor_through_the_day(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    bars = land_bars(FIRST, LAST)

    def hashes() -> dict[date, str]:
        days = list(each_day(date(2024, 2, 29), LAST))
        found = feature_frames(lake, CORE, instrument, "1m", days)
        return {day: inputs["bars"] for day, _, inputs in found}

    before = hashes()
    assert len(set(before.values())) == len(before)
    keys = {"instrument": instrument, "interval": "1m"}
    changed = bars.slice(1440 * 6, 1440).with_columns(volume=pl.col("volume") + 1.0)
    lake.write("bars", changed, code_version=CODE_VERSION, **keys, date=date(2024, 3, 2))
    after = hashes()
    assert [day for day in before if before[day] != after[day]] == [date(2024, 3, 2), LAST]


def test_seam_between_days_of_a_month_is_the_seam_of_one_walk(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    bars = land_bars(FIRST, LAST)
    frames = {
        day: frame
        for day, frame, _ in feature_frames(
            lake, CORE, instrument, "1m", [date(2024, 2, 28), date(2024, 2, 29)]
        )
    }
    whole = walk(CORE, matrix(bars, CORE.fields))
    seam = np.concatenate(
        [
            _values(frames[day])[s]
            for day, s in ((date(2024, 2, 28), slice(-5, None)), (date(2024, 2, 29), slice(5)))
        ]
    )
    np.testing.assert_array_equal(seam, whole[1440 * 4 - 5 : 1440 * 4 + 5])


def test_seam_between_months_moves_only_what_remembers_longer_than_the_warm_up(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    bars = land_bars(FIRST, LAST)
    first = date(2024, 3, 1)
    [(_, frame, _)] = feature_frames(lake, CORE, instrument, "1m", [first])
    fresh = _values(frame)[:10]
    continued = walk(CORE, matrix(bars, CORE.fields))[1440 * 5 : 1440 * 5 + 10]
    np.testing.assert_array_equal(np.isnan(fresh), np.isnan(continued))
    column = 0
    for kernel in CORE.kernels:
        for feature in kernel.outputs:
            a, b = fresh[:, column], continued[:, column]
            column += 1
            if not np.isnan(a).all():
                allowed = {"rtol": 0.2} if kernel.capped else {"rtol": 1e-6, "atol": 1e-7}
                np.testing.assert_allclose(a, b, err_msg=feature.name, **allowed)


def test_history_that_begins_after_the_anchor_starts_its_walk_there(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    bars = land_bars(date(2024, 3, 1), LAST)
    frames = list(feature_frames(lake, CORE, instrument, "1m", [LAST, date(2024, 3, 1)]))
    whole = walk(CORE, matrix(bars, CORE.fields))
    np.testing.assert_array_equal(_values(frames[0][1]), whole[:1440])
    np.testing.assert_array_equal(_values(frames[1][1]), whole[2880:])
    volatility = CORE.columns.index("volatility_1440")
    assert np.isnan(whole[2879, volatility])
    assert not np.isnan(whole[2880, volatility])


def test_bars_added_before_the_beginning_of_a_walk_make_its_features_stale(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    days = list(each_day(date(2024, 3, 1), LAST))
    whole = land_bars(date(2024, 2, 20), LAST)
    shutil.rmtree(lake.root / "bars")

    def land(first: date, last: date) -> None:
        for k, day in enumerate(each_day(date(2024, 2, 20), LAST)):
            if first <= day <= last:
                keys = {"instrument": instrument, "interval": "1m", "date": day}
                lake.write("bars", whole.slice(1440 * k, 1440), code_version=CODE_VERSION, **keys)

    land(date(2024, 3, 1), LAST)
    _materialize(lake, instrument, days)
    keys = {"pack": "core", "instrument": instrument, "interval": "1m"}
    for day in days:
        assert lake.info("features", **keys, date=day).inputs[BEGINS] == "2024-03-01"
    early = read_features(lake, ["core"], [], instrument, "1m", days)
    # The walk over March begins on 28 February: what lies before that it would not read.
    land(date(2024, 2, 20), date(2024, 2, 20))
    read_features(lake, ["core"], [], instrument, "1m", days)
    land(date(2024, 2, 20), date(2024, 2, 29))
    _materialize(lake, instrument, days[:1])
    with pytest.raises(StalePartition, match="history began on 2024-03-01") as caught:
        read_features(lake, ["core"], [], instrument, "1m", days)
    assert f"features/core --instrument {instrument} --from 2024-03-02 --to" in caught.value.hint
    _materialize(lake, instrument, days)
    assert BEGINS not in lake.info("features", **keys, date=LAST).inputs
    assert not read_features(lake, ["core"], [], instrument, "1m", days).equals(early)


def test_landed_day_without_bars_within_the_walk_is_an_error_that_says_how_to_make_them(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    land_bars(FIRST, LAST)
    hole = date(2024, 2, 29)
    shutil.rmtree(lake.partition("bars", instrument=instrument, interval="1m", date=hole))
    nothing = table("raw_trades").empty()
    lake.write("raw_trades", nothing, code_version="1", instrument=instrument, date=hole)
    with pytest.raises(MissingPartition, match="landed on 2024-02-29") as caught:
        list(feature_frames(lake, CORE, instrument, "1m", [date(2024, 3, 2)]))
    assert "2024-03-02" in caught.value.what
    assert "materialize ticks,quality,bars" in str(caught.value.hint)
    assert "--from 2024-02-29 --to 2024-02-29" in str(caught.value.hint)
    with pytest.raises(MissingPartition, match="landed on 2024-02-29"):
        live_stream(lake, CORE, instrument, "1m", date(2024, 3, 2))
    # Days before the hole are not concerned.
    assert len(list(feature_frames(lake, CORE, instrument, "1m", [date(2024, 2, 28)]))) == 1


def test_history_begins_anew_after_a_day_that_never_landed(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    bars = land_bars(FIRST, LAST)
    hole = date(2024, 3, 1)
    folder = lake.partition("bars", instrument=instrument, interval="1m", date=hole)
    shutil.move(folder, lake.root / "aside")
    after = list(each_day(date(2024, 3, 2), LAST))
    files = _materialize(lake, instrument, [date(2024, 2, 28), *after])
    whole = walk(CORE, matrix(bars, CORE.fields))
    fresh = walk(CORE, matrix(bars.slice(1440 * 6), CORE.fields))
    keys = {"pack": "core", "instrument": instrument, "interval": "1m"}
    before = lake.read("features", **keys, date=date(2024, 2, 28))
    np.testing.assert_array_equal(_values(before), whole[1440 * 3 : 1440 * 4])
    for k, day in enumerate(after):
        found = lake.read("features", **keys, date=day)
        np.testing.assert_array_equal(_values(found), fresh[1440 * k : 1440 * (k + 1)])
        assert lake.info("features", **keys, date=day).inputs[BEGINS] == "2024-03-02"
        assert _materialize(lake, instrument, [day]) == {day: files[day]}
    stream = live_stream(lake, CORE, instrument, "1m", LAST)
    np.testing.assert_array_equal(
        stream.replay(matrix(bars.slice(1440 * 7), CORE.fields)), fresh[1440:]
    )
    with pytest.raises(MissingPartition, match=f"nothing has landed.*--absent {hole}"):
        list(feature_frames(lake, CORE, instrument, "1m", [hole]))
    # The day lands after all: what was made without it is stale.
    read_features(lake, ["core"], [], instrument, "1m", after)
    shutil.move(lake.root / "aside", folder)
    with pytest.raises(StalePartition, match="stale on 2 days, first on 2024-03-02"):
        read_features(lake, ["core"], [], instrument, "1m", after)


def test_features_are_stale_once_bars_that_they_walked_over_are_others(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    bars = land_bars(FIRST, LAST)
    days = list(each_day(date(2024, 2, 28), LAST))
    _materialize(lake, instrument, days)
    read_features(lake, ["core"], [], instrument, "1m", days)
    changed = bars.slice(1440 * 4, 1440).with_columns(pl.col("volume") + 1.0)
    keys = {"instrument": instrument, "interval": "1m", "date": date(2024, 2, 29)}
    lake.write("bars", changed, code_version=CODE_VERSION, **keys)
    read_features(lake, ["core"], [], instrument, "1m", days[:1])
    with pytest.raises(StalePartition, match="stale on 4 days, first on 2024-02-29: bars"):
        read_features(lake, ["core"], [], instrument, "1m", days)
    _materialize(lake, instrument, days)
    read_features(lake, ["core"], [], instrument, "1m", days)


def test_day_without_bars_or_any_history_is_an_error(lake: Lake, instrument: str) -> None:
    with pytest.raises(MissingPartition, match="2024-03-02"):
        list(feature_frames(lake, CORE, instrument, "1m", [date(2024, 3, 2)]))


def test_day_before_history_begins_is_an_error(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    land_bars(date(2024, 3, 2), date(2024, 3, 2))
    with pytest.raises(MissingPartition, match="2024-03-01: nothing has landed"):
        list(feature_frames(lake, CORE, instrument, "1m", [date(2024, 3, 1)]))


@pytest.mark.parametrize("day", [date(2024, 2, 25), date(2024, 2, 29), date(2024, 3, 1)])
def test_stream_rebuilt_from_bars_gives_the_bits_of_the_partition(
    lake: Lake, land_bars: Land, instrument: str, day: date
) -> None:
    bars = land_bars(FIRST, LAST)
    [(_, frame, _)] = feature_frames(lake, CORE, instrument, "1m", [day])
    stream = live_stream(lake, CORE, instrument, "1m", day)
    today = matrix(bars.slice(1440 * (day - FIRST).days, 1440), CORE.fields)
    live = np.array([stream.update(row) for row in today[:700]])
    # Stopped in the middle of the day, and rebuilt from the same bars.
    stream = live_stream(lake, CORE, instrument, "1m", day)
    stream.replay(today[:700])
    live = np.concatenate((live, [stream.update(row) for row in today[700:]]))
    np.testing.assert_array_equal(live.view(np.int64), _values(frame).view(np.int64))


def test_sentiment_features_follow_the_bars_on_every_interval(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    sentiment = pack("sentiment")  # without its warm-up, which is 30 days of 15-minute bars
    sentiment = replace(sentiment, kernels=tuple(replace(k, warmup=0) for k in sentiment.kernels))
    first, last = date(2024, 2, 25), date(2024, 3, 2)
    minutes = _land_sentiment(lake, instrument, first, last)
    for interval, length in (("1m", 1), ("15m", 15)):
        bars = land_bars(first, last, interval=interval)
        [(day, frame, inputs)] = feature_frames(lake, sentiment, instrument, interval, [last])
        assert day == last
        assert set(inputs) == {"bars", "sentiment"}
        assert frame.columns == ["ts", "valid", *sentiment.columns]
        assert frame["ts"].equals(bars["ts"].tail(1440 // length))
        summed = minutes.group_by(
            (pl.int_range(pl.len()) // length).alias("bar"), maintain_order=True
        ).agg(pl.col("ts").last(), pl.exclude("ts").sum())
        march = matrix(summed.tail(2 * 1440 // length), SENTIMENT_FIELDS)
        expected = walk(sentiment, march)[-1440 // length :]
        found = frame.select(sentiment.columns).to_numpy()
        assert not np.isnan(found).any()
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_sentiment_that_was_not_written_is_an_error_that_names_the_day(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    land_bars(date(2024, 3, 1), date(2024, 3, 2))
    _land_sentiment(lake, instrument, date(2024, 3, 1), date(2024, 3, 1))
    with pytest.raises(MissingPartition) as caught:
        list(feature_frames(lake, pack("sentiment"), instrument, "1m", [date(2024, 3, 2)]))
    assert "sentiment" in caught.value.what
    assert "2024-03-02" in caught.value.what
    assert "materialize sentiment" in str(caught.value.hint)


def test_stream_of_sentiment_is_rebuilt_from_the_lake(
    lake: Lake, land_bars: Land, instrument: str
) -> None:
    sentiment = pack("sentiment")
    first, last = date(2024, 2, 28), date(2024, 3, 1)
    minutes = _land_sentiment(lake, instrument, first, last)
    land_bars(first, last)
    [(_, frame, _)] = feature_frames(lake, sentiment, instrument, "1m", [last])
    stream = live_stream(lake, sentiment, instrument, "1m", last)
    live = [stream.update(row) for row in matrix(minutes.tail(1440), SENTIMENT_FIELDS)]
    np.testing.assert_array_equal(np.array(live), frame.select(sentiment.columns).to_numpy())


def test_stream_before_any_history_is_new(lake: Lake, instrument: str) -> None:
    stream = live_stream(lake, CORE, instrument, "1m", date(2024, 3, 2))
    assert isinstance(stream, Stream)
    assert stream.bars == 0


class TestReadFeatures:
    """Packs side by side, as labels, training and predictions read them."""

    DAYS = (date(2024, 3, 1), date(2024, 3, 2))

    @pytest.fixture
    def landed(self, lake: Lake, land_bars: Land, instrument: str) -> Lake:
        land_bars(*self.DAYS)
        _land_sentiment(lake, instrument, *self.DAYS)
        for name in ("core", "sentiment"):
            _materialize(lake, instrument, list(self.DAYS), name)
        return lake

    def test_columns_come_in_pack_order_less_those_left_out(
        self, landed: Lake, instrument: str
    ) -> None:
        sentiment = pack("sentiment").columns
        frame = read_features(
            landed, ["sentiment", "core"], ["rsi_14", "tone_1h"], instrument, "1m", self.DAYS[::-1]
        )
        expected = [c for c in (*sentiment, *CORE.columns) if c not in {"rsi_14", "tone_1h"}]
        assert frame.columns == ["ts", "valid", *expected]
        assert frame.height == 2880
        assert frame["ts"].is_sorted()
        for name in ("core", "sentiment"):
            stored = pl.concat(
                landed.read("features", pack=name, instrument=instrument, interval="1m", date=day)
                for day in self.DAYS
            )
            shared = [c for c in stored.columns if c in frame.columns]
            assert frame.select(shared).equals(stored.select(shared))

    def test_no_days_give_the_columns_alone(self, landed: Lake, instrument: str) -> None:
        frame = read_features(landed, ["core"], [], instrument, "1m", [])
        whole = read_features(landed, ["core"], [], instrument, "1m", self.DAYS)
        assert frame.height == 0
        assert frame.schema == whole.schema

    def test_unknown_pack_or_feature_is_named_with_its_neighbours(
        self, landed: Lake, instrument: str
    ) -> None:
        with pytest.raises(UnknownName, match="core"):
            read_features(landed, ["cor"], [], instrument, "1m", self.DAYS)
        with pytest.raises(UnknownName, match="rsi_14"):
            read_features(landed, ["core"], ["rsi_15"], instrument, "1m", self.DAYS)

    def test_day_that_was_not_materialized_is_an_error(self, landed: Lake, instrument: str) -> None:
        days = [*self.DAYS, self.DAYS[1] + timedelta(days=1)]
        with pytest.raises(MissingPartition, match="2024-03-03"):
            read_features(landed, ["core"], [], instrument, "1m", days)

    def test_partition_of_an_older_pack_is_refused(self, landed: Lake, instrument: str) -> None:
        keys = {"pack": "core", "instrument": instrument, "interval": "1m", "date": self.DAYS[0]}
        landed.write("features", landed.read("features", **keys), code_version="old", **keys)
        with pytest.raises(StalePartition, match=r"pack has changed.*materialize features/core"):
            read_features(landed, ["core"], [], instrument, "1m", self.DAYS)

    def test_partition_without_a_feature_of_its_pack_is_refused(
        self, landed: Lake, instrument: str
    ) -> None:
        keys = {"pack": "core", "instrument": instrument, "interval": "1m", "date": self.DAYS[0]}
        frame = landed.read("features", **keys).drop("rsi_14")
        inputs = landed.info("features", **keys).inputs
        landed.write("features", frame, code_version=CORE.hash, inputs=inputs, **keys)
        with pytest.raises(CorruptPartition, match=r"rsi_14.*materialize features/core"):
            read_features(landed, ["core"], [], instrument, "1m", self.DAYS)
        read_features(landed, ["core"], ["rsi_14"], instrument, "1m", self.DAYS)

    def test_packs_computed_from_other_bars_are_not_joined(
        self, landed: Lake, instrument: str
    ) -> None:
        keys = {"instrument": instrument, "interval": "1m", "date": self.DAYS[0]}
        frame = landed.read("features", pack="sentiment", **keys)[1:]
        info = landed.info("features", pack="sentiment", **keys)
        landed.write(
            "features",
            frame,
            code_version=info.code_version,
            inputs=info.inputs,
            pack="sentiment",
            **keys,
        )
        with pytest.raises(CorruptPartition, match="other bars"):
            read_features(landed, ["core", "sentiment"], [], instrument, "1m", self.DAYS)
