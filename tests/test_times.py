"""Runs of days."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vostok_core.times import days, spans

MONDAY = date(2025, 3, 3)


@given(st.lists(st.integers(0, 40)))
def test_spans_cover_exactly_the_days_and_never_touch(offsets: list[int]) -> None:
    chosen = [MONDAY + timedelta(days=offset) for offset in offsets]
    found = spans(chosen)
    covered = [day for first, last in found for day in days(first, last)]
    assert covered == sorted(set(chosen))
    for (_, last), (first, _) in pairwise(found):
        assert first - last > timedelta(days=1)
