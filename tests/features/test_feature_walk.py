"""Batch and live run the same steps: the same bits, warm-ups included, however rows arrive."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.features.inputs import CLOSE
from vostok_core.features.leaks import probe_rows
from vostok_core.features.registry import Feature, Kernel, Pack, pack, packs, register
from vostok_core.features.walk import Stream, anchor, reach, walk, walk_kernel
from vostok_core.times import parse_interval


@pytest.mark.parametrize("name", packs())
def test_streamed_rows_give_the_bits_of_the_batch_through_the_warm_up(name: str) -> None:
    some = pack(name)
    rows = probe_rows(some.inputs, some.warmup + 120, 1)
    batch = walk(some, rows)
    assert np.isnan(batch).any()
    assert not np.isnan(batch[-1]).all()
    stream = Stream(some)
    for row, expected in zip(rows, batch, strict=True):
        np.testing.assert_array_equal(stream.update(row).view(np.int64), expected.view(np.int64))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=6), st.booleans())
def test_rows_may_arrive_in_pieces_of_any_size(sizes: list[int], last_alone: bool) -> None:
    some = pack("core")
    some = replace(some, kernels=tuple(replace(k, warmup=min(k.warmup, 90)) for k in some.kernels))
    rows = probe_rows("bars", sum(sizes) + 1, 2)
    stream = Stream(some)
    parts = []
    at = 0
    for size in sizes:
        parts.append(stream.replay(rows[at : at + size]))
        at += size
    rest = rows[at:]
    parts.append(stream.update(rest[0])[None] if last_alone else stream.replay(rest))
    np.testing.assert_array_equal(np.concatenate(parts), walk(some, rows))
    assert stream.bars == len(rows)


def test_kernel_walked_alone_gives_its_columns_of_the_pack() -> None:
    core = pack("core")
    rows = probe_rows("bars", 3000, 3)
    whole = walk(core, rows)
    column = 0
    for kernel in core.kernels:
        width = len(kernel.outputs)
        np.testing.assert_array_equal(walk_kernel(kernel, rows), whole[:, column : column + width])
        column += width


def test_rows_laid_out_otherwise_in_memory_give_the_same_bits() -> None:
    core = pack("core")
    rows = probe_rows("bars", 3000, 4)
    expected = walk(core, rows)
    np.testing.assert_array_equal(walk(core, np.asfortranarray(rows)), expected)
    padded = np.zeros((6000, rows.shape[1]))
    padded[::2] = rows
    np.testing.assert_array_equal(walk(core, padded[::2]), expected)


def test_rows_of_another_width_are_refused() -> None:
    core = pack("core")
    with pytest.raises(ValueError, match="shape"):
        Stream(core).update(np.zeros(4))
    with pytest.raises(ValueError, match="shape"):
        walk(core, np.zeros((10, 4)))


def test_no_rows_give_no_features() -> None:
    core = pack("core")
    assert walk(core, np.empty((0, len(core.fields)))).shape == (0, len(core.columns))


def test_kernel_that_overwrites_its_row_spoils_nobody_elses() -> None:
    def _spoil(bar: np.ndarray, params: np.ndarray, state: np.ndarray, out: np.ndarray) -> None:
        out[0] = bar[CLOSE]
        bar[:] = -1.0

    kernels = tuple(
        Kernel(_spoil, (Feature(name, "", "", ""),), (), 0, 0) for name in ("one", "two")
    )
    spoiler = Pack("spoiler", "1", "", "bars", kernels)
    rows = probe_rows("bars", 50, 5)
    kept = rows.copy()
    expected = np.stack([rows[:, CLOSE]] * 2, axis=1)
    np.testing.assert_array_equal(walk(spoiler, rows), expected)
    stream = Stream(spoiler)
    np.testing.assert_array_equal(np.array([stream.update(row) for row in rows]), expected)
    np.testing.assert_array_equal(rows, kept)


@pytest.mark.parametrize(
    ("day", "warmup", "interval", "expected"),
    [
        (date(2024, 3, 17), 2880, "1m", date(2024, 2, 28)),
        (date(2024, 3, 1), 2880, "1m", date(2024, 2, 28)),
        (date(2024, 3, 31), 2881, "1m", date(2024, 2, 27)),
        (date(2023, 3, 31), 1, "1m", date(2023, 2, 28)),
        (date(2024, 1, 31), 2880, "5m", date(2023, 12, 22)),
        (date(2024, 1, 31), 0, "5m", date(2024, 1, 1)),
    ],
)
def test_anchor_is_the_first_of_the_month_less_the_warm_up(
    day: date, warmup: int, interval: str, expected: date
) -> None:
    assert anchor(day, warmup, parse_interval(interval)) == expected


@given(
    st.dates(date(2019, 1, 1), date(2026, 12, 31)),
    st.integers(0, 4000),
    st.sampled_from(["1m", "5m", "1h", "4h"]),
)
def test_reach_is_the_last_day_whose_walk_begins_at_or_before_a_day(day, warmup, interval) -> None:
    last = reach(day, warmup, parse_interval(interval))
    following = [last + timedelta(days=k) for k in range(1, 70)]
    assert anchor(last, warmup, parse_interval(interval)) <= day <= last
    assert all(anchor(d, warmup, parse_interval(interval)) > day for d in following)


def test_built_in_packs_stay_within_two_days_of_minutes() -> None:
    for some in packs().values():
        assert some.warmup <= 2880
        assert len(set(some.columns)) == len(some.columns)
        for feature in some.features:
            assert feature.unit
            assert feature.description
            assert feature.source


def test_names_that_strategies_rely_on() -> None:
    core = pack("core")
    assert {"volatility_60", "volatility_1440"} <= set(core.columns)
    assert len(core.columns) >= 30


def test_second_pack_of_a_name_is_refused() -> None:
    core = pack("core")
    assert register(core) is core
    with pytest.raises(ValueError, match="already registered"):
        register(replace(core, version="other"))
