"""The sentiment pack against sums over all items with their ages."""

from __future__ import annotations

import numpy as np
import pytest

from vostok_core.features.frames import sentiment_rows
from vostok_core.features.inputs import S_ITEMS, S_SCORE_ABS_SUM, S_SCORE_SUM, S_TS
from vostok_core.features.inputs import SENTIMENT_FIELDS as FIELDS
from vostok_core.features.leaks import probe_rows
from vostok_core.features.registry import Pack, pack
from vostok_core.features.walk import walk

MINUTE = 60_000_000


@pytest.fixture(scope="module")
def sentiment() -> Pack:
    return pack("sentiment")


@pytest.mark.parametrize("gaps", [0.0, 0.02])
def test_decayed_sums_equal_sums_over_all_items_by_age(sentiment: Pack, gaps: float) -> None:
    rows = probe_rows("sentiment", 4000, 5, gaps=gaps)
    values = dict(zip(sentiment.columns, walk(sentiment, rows).T, strict=True))
    for i in (2880, 3333, 3999):
        age = (rows[i, S_TS] - rows[: i + 1, S_TS]) / MINUTE
        for name, half_life in (("1h", 60), ("6h", 360)):
            weight = 0.5 ** (age / half_life)
            tone, strength, items = (
                float(np.sum(weight * rows[: i + 1, f]))
                for f in (S_SCORE_SUM, S_SCORE_ABS_SUM, S_ITEMS)
            )
            assert values[f"tone_sum_{name}"][i] == pytest.approx(tone, rel=1e-9)
            assert values[f"news_{name}"][i] == pytest.approx(items, rel=1e-9)
            assert values[f"tone_{name}"][i] == pytest.approx(tone / (1 + items), rel=1e-9)
            assert values[f"tone_strength_{name}"][i] == pytest.approx(
                strength / (1 + items), rel=1e-9
            )


def test_same_news_decays_alike_on_bars_of_any_length(sentiment: Pack) -> None:
    minutes = probe_rows("sentiment", 1440 * 10, 6, gaps=0.0)
    minutes[:, S_TS] = 1_709_164_800_000_000 + MINUTE * np.arange(1, len(minutes) + 1)
    # Items only in the last minute of an hour, so that both grids see them at the same time.
    minutes[np.arange(len(minutes)) % 60 != 59, 1:] = 0.0
    hours = minutes[59::60]
    fine, coarse = walk(sentiment, minutes)[59::60], walk(sentiment, hours)
    bare = np.isnan(fine) | np.isnan(coarse)
    assert bare.all(), "240 hours are within the warm-up, which counts bars"
    long = np.tile(minutes, (13, 1))
    long[:, S_TS] = 1_709_164_800_000_000 + MINUTE * np.arange(1, len(long) + 1)
    fine, coarse = walk(sentiment, long)[59::60], walk(sentiment, long[59::60])
    known = ~np.isnan(coarse).any(axis=1)
    assert known.sum() > 200
    np.testing.assert_allclose(fine[known], coarse[known], rtol=1e-9, atol=1e-12)


def test_shock_is_the_tone_of_the_bar_and_age_stops_at_a_day(sentiment: Pack) -> None:
    rows = np.zeros((4000, len(FIELDS)))
    rows[:, S_TS] = 1_709_164_800_000_000 + MINUTE * np.arange(1, 4001)
    rows[1500, 1:] = (2.0, 0.5, 1.5)
    values = dict(zip(sentiment.columns, walk(sentiment, rows).T, strict=True))
    assert values["tone_shock"][1500] == 0.25
    assert (np.delete(values["tone_shock"][1440:], 60) == 0.0).all()
    age = values["news_age"]
    assert age[1499] == 1440.0
    assert list(age[[1500, 1501, 1800, 2939, 2940, 2941, 3999]]) == [
        *(0.0, 1.0, 300.0, 1439.0, 1440.0, 1440.0, 1440.0)
    ]


def test_minutes_are_summed_onto_the_bar_that_ends_last_and_never_a_later_one() -> None:
    import polars as pl

    rng = np.random.default_rng(2)
    minutes = np.arange(1, 1441)
    frame = pl.DataFrame(
        {
            "ts": pl.Series(minutes * MINUTE).cast(pl.Datetime("us", "UTC")),
            "items": rng.poisson(0.5, 1440).astype(float),
            "score_sum": rng.normal(size=1440),
            "score_abs_sum": rng.random(1440),
        }
    )
    ends = np.delete(np.arange(1, 97) * 15 * MINUTE, 40)  # one bar is missing: its news is lost
    rows = sentiment_rows(ends, 15 * MINUTE, frame)
    np.testing.assert_array_equal(rows[:, S_TS], ends)
    for k, end in enumerate(ends // MINUTE):
        part = frame[int(end) - 15 : int(end)]
        for j, name in enumerate(FIELDS[1:], start=1):
            total = 0.0
            for value in part[name]:
                total += value
            assert rows[k, j] == total
