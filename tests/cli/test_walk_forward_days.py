"""Which days a walk-forward labels."""

from __future__ import annotations

from datetime import date, timedelta

from vostok_core.strategy import Strategy, StrategyFile
from vostok_core.times import days
from vostok_pipelines.training.window import window_days

MONDAY = date(2025, 3, 3)


def strategy(**settings: object) -> Strategy:
    base = {"description": "x", "instruments": ["a.b.C-D"]}
    return Strategy("x", StrategyFile.model_validate(base | settings))


def test_days_from_the_window_of_the_first_model_to_what_the_last_can_know_are_labelled() -> None:
    written = list(days(MONDAY - timedelta(weeks=9), MONDAY + timedelta(weeks=3)))
    chosen = strategy(labels={"horizon": "4h"}, model={"train_weeks": 2, "deployment_lag": "1d"})
    found, _ = window_days(written, chosen, MONDAY, MONDAY)
    # The window opens on Sunday 00:00; the bar that ends there lies in Saturday's partition.
    assert found[0] == MONDAY - timedelta(weeks=2, days=2)
    # Sunday's archive arrives on Monday; Friday's labels reach into Saturday, the last day known.
    assert found[-1] == MONDAY - timedelta(days=3)
    assert found == list(days(found[0], found[-1]))
    later, _ = window_days(written, chosen, MONDAY, MONDAY + timedelta(weeks=2))
    assert later == list(days(found[0], found[-1] + timedelta(weeks=2)))


def test_a_day_whose_labels_reach_into_a_day_that_is_not_there_is_left_out() -> None:
    gap = MONDAY - timedelta(days=6)
    written = [day for day in days(MONDAY - timedelta(weeks=3), MONDAY) if day != gap]
    hours = strategy(labels={"horizon": "4h"}, model={"train_weeks": 1})
    days_found, empty = window_days(written, hours, MONDAY, MONDAY)
    assert empty == [gap]
    found = set(days_found)
    assert not found & {gap, gap - timedelta(days=1)}
    assert {gap - timedelta(days=2), gap + timedelta(days=1)} <= found
    longer = strategy(labels={"horizon": "25h"}, model={"train_weeks": 1})
    assert gap - timedelta(days=2) not in window_days(written, longer, MONDAY, MONDAY)[0]
