"""The shape of the bar itself, and the time at its end. Nothing is remembered."""

from __future__ import annotations

import math

from vostok_core.features.inputs import CLOSE, HIGH, LOW, OPEN, TS
from vostok_core.features.registry import Feature, Kernel, step_kernel

_DAY = 86_400_000_000.0
_SEASON = "Andersen and Bollerslev (1997), Journal of Empirical Finance 4"
_CANDLE = "Nison (1991), Japanese Candlestick Charting Techniques"


@step_kernel
def _shape_and_time(bar, params, state, out):  # type: ignore[no-untyped-def]  # noqa: ARG001
    span = bar[HIGH] - bar[LOW]
    out[0] = (bar[CLOSE] - bar[LOW]) / span if span > 0.0 else 0.5
    out[1] = (bar[CLOSE] - bar[OPEN]) / span if span > 0.0 else 0.0
    days = math.floor(bar[TS] / _DAY)
    day = 2.0 * math.pi * ((bar[TS] - days * _DAY) / _DAY)
    week = 2.0 * math.pi * ((days + 3.0) % 7.0) / 7.0
    out[2] = math.sin(day)
    out[3] = math.cos(day)
    out[4] = math.sin(week)
    out[5] = math.cos(week)


def shape_and_time() -> Kernel:
    """Where the close lies in the bar, and the UTC time of the bar's end on two circles.

    The angle of the day is 2 pi * minutes since midnight / 1440; that of the week is
    2 pi * weekday / 7, Monday being 0. The bar that ends at midnight belongs to the new day.
    """
    return Kernel(
        _shape_and_time,
        (
            Feature(
                "close_position", "fraction", "(close - low) / (high - low); 0.5 if flat", _CANDLE
            ),
            Feature("bar_body", "-1 to 1", "(close - open) / (high - low); 0 if flat", _CANDLE),
            Feature("day_sin", "-1 to 1", "sine of the UTC time of day", _SEASON),
            Feature("day_cos", "-1 to 1", "cosine of the UTC time of day", _SEASON),
            Feature("week_sin", "-1 to 1", "sine of the UTC day of the week", _SEASON),
            Feature("week_cos", "-1 to 1", "cosine of the UTC day of the week", _SEASON),
        ),
        (),
        state_size=0,
        warmup=0,
    )
