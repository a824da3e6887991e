"""The chain that a trading process decides by gives the bits of partitions."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial

import numpy as np
import polars as pl
import pytest

from vostok_core.features.inputs import BAR_FIELDS, TS, matrix
from vostok_core.features.leaks import probe_rows
from vostok_core.features.registry import pack
from vostok_core.features.walk import Stream, anchor, walk
from vostok_core.live.anchored import Anchored
from vostok_core.live.chain import DecisionChain
from vostok_core.market.days import CODE_VERSION
from vostok_core.settings import Settings
from vostok_core.times import DAY, MINUTE, day_start
from vostok_pipelines.training.predict import predict_week
from vostok_pipelines.training.train import train_week


@pytest.fixture(scope="module")
def week(market, tmp_path_factory):
    copy = market.copy(tmp_path_factory.mktemp("chain") / "lake")
    for minute, day in ((300, 1), (700, 3)):  # two bars of the week that something was wrong with
        keys = {"instrument": copy.name, "interval": "1m", "date": copy.week + timedelta(days=day)}
        frame = copy.lake.read("bars", **keys)
        frame = frame.with_columns(valid=pl.int_range(pl.len()) != minute)
        copy.lake.write("bars", frame, code_version=CODE_VERSION, **keys)
    copy.remake()
    bundle = train_week(copy.lake, Settings(), copy.strategy, copy.instrument, copy.week)
    said, _ = predict_week(copy.lake, Settings(), copy.strategy, copy.instrument, copy.week)
    return copy, bundle, said


def bars_of(market) -> pl.DataFrame:
    place = {"instrument": market.name, "interval": "1m"}
    days = market.lake.days("bars", **place)
    return pl.concat([market.lake.read("bars", **place, date=day) for day in days])


@pytest.mark.parametrize("at_once", [0, 1440 * 4 + 77, 1440 * 9 - 1])
def test_the_chain_decides_what_predictions_say(week, at_once: int) -> None:
    market, bundle, said = week
    bars = bars_of(market)
    rows, valid = matrix(bars, BAR_FIELDS), bars["valid"].to_numpy()
    chain = DecisionChain(bundle, market.strategy)
    chain.catch_up(rows[:at_once], None, valid[:at_once])
    steps = [
        chain.update(row, None, valid=bool(ok))
        for row, ok in zip(rows[at_once:], valid[at_once:], strict=True)
    ]
    start = day_start(market.week)
    events = [s for s in steps if s.event and start <= s.ts < start + 7 * DAY]
    assert [s.ts for s in events] == said["ts"].to_physical().to_list()
    assert [s.valid for s in events] == said["valid"].to_list()
    assert 0 < said["valid"].sum() < said.height
    for name, values in (
        ("score", [s.score for s in events]),
        ("probability", [s.decision.probability for s in events]),
        ("sigma", [s.decision.sigma for s in events]),
        ("threshold", [s.decision.threshold for s in events]),
    ):
        np.testing.assert_array_equal(
            np.array(values).view(np.int64), said[name].to_numpy().view(np.int64)
        )
    keys = {"instrument": market.name, "interval": "1m", "pack": "core"}
    stored = market.lake.read("features", **keys, date=market.week)
    own = [s.features for s in steps if start < s.ts <= start + DAY]
    found = np.array(own).view(np.int64)
    expected = np.ascontiguousarray(bundle.select(stored)).view(np.int64)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("begin", [date(2024, 2, 10), date(2024, 2, 28), date(2024, 3, 1)])
def test_at_a_months_first_bar_the_walk_from_its_own_anchor_takes_over(begin: date) -> None:
    core, first, last = pack("core"), begin, date(2024, 3, 3)
    days = (last - first).days + 1
    rows = probe_rows("bars", 1440 * days, 3, gaps=0.0)
    rows[:, TS] = day_start(first) + MINUTE * np.arange(1, len(rows) + 1)
    streams = Anchored(
        partial(Stream, core), partial(anchor, warmup_bars=core.warmup, interval_us=MINUTE)
    )
    for k in range(days):
        day, own = first + timedelta(days=k), rows[1440 * k : 1440 * (k + 1)]
        said = streams.feed(day, lambda stream, own=own: stream.replay(own))
        start = max(anchor(day, core.warmup, MINUTE), first)
        walked = walk(core, rows[1440 * (start - first).days : 1440 * (k + 1)])[-1440:]
        np.testing.assert_array_equal(said.view(np.int64), walked.view(np.int64))


def test_what_began_anew_remembers_nothing(week) -> None:
    market, bundle, _ = week
    rows = matrix(bars_of(market), BAR_FIELDS)
    tired, fresh = (DecisionChain(bundle, market.strategy) for _ in range(2))
    tired.catch_up(rows[:5000], None, np.arange(5000) != 4990)
    tired.begin_anew()
    for row in rows[5000:5100]:
        a, b = (chain.update(row, None, valid=True) for chain in (tired, fresh))
        np.testing.assert_array_equal(a.features.view(np.int64), b.features.view(np.int64))
        assert (a.event, a.valid) == (b.event, b.valid)
