"""Sentiment that decays with time. Ages are taken from the rows' `ts`, not from their number.

The mean tone is shrunk by one neutral item: sum(w s) / (1 + sum(w)). A plain weighted mean would
keep the tone of the last item for ever, and what it holds would depend on where the walk began.
"""

from __future__ import annotations

import math

from vostok_core.features.inputs import S_ITEMS, S_SCORE_ABS_SUM, S_SCORE_SUM, S_TS
from vostok_core.features.kernels.volatility import CAPPED
from vostok_core.features.registry import Feature, Kernel, step_kernel

_TETLOCK = "Tetlock (2007), Journal of Finance 62"
_ATTENTION = "Da, Engelberg and Gao (2011), Journal of Finance 66"
_MINUTE = 60_000_000.0
_LN2 = 0.6931471805599453


@step_kernel
def _decayed(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: previous ts, score sum, sum of absolute scores, items; all three decayed."""
    if state[0] > 0.0:
        kept = math.exp(-_LN2 * (bar[S_TS] - state[0]) / (_MINUTE * params[0]))
        state[1] *= kept
        state[2] *= kept
        state[3] *= kept
    state[0] = bar[S_TS]
    state[1] += bar[S_SCORE_SUM]
    state[2] += bar[S_SCORE_ABS_SUM]
    state[3] += bar[S_ITEMS]
    out[0] = state[1] / (1.0 + state[3])
    out[1] = state[2] / (1.0 + state[3])
    out[2] = state[1]
    out[3] = state[3]


def decayed(half_life: int) -> Kernel:
    """Tone, its strength, its sum and the number of items, weighted by 2^(-age / half-life).

    Args:
        half_life: In minutes, whatever the interval of the bars.
    """
    name = f"{half_life // 60}h"
    weights = f"weights halve every {half_life} minutes"
    exact = 30 * half_life
    return Kernel(
        _decayed,
        (
            Feature(
                f"tone_{name}",
                "-1 to 1",
                f"sum of scores / (1 + items), {weights}",
                _TETLOCK,
            ),
            Feature(
                f"tone_strength_{name}",
                "0 to 1",
                f"sum of absolute scores / (1 + items), {weights}",
                _TETLOCK,
            ),
            Feature(f"tone_sum_{name}", "items", f"sum of scores, {weights}", _TETLOCK),
            Feature(f"news_{name}", "items", f"number of items, {weights}", _ATTENTION),
        ),
        (float(half_life),),
        state_size=4,
        warmup=min(exact, CAPPED),
        capped=exact > CAPPED,
    )


@step_kernel
def _newest(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: ts of the last row with an item."""
    out[0] = 0.0
    if bar[S_ITEMS] > 0.0:
        state[0] = bar[S_TS]
        out[0] = bar[S_SCORE_SUM] / bar[S_ITEMS]
    out[1] = params[0]
    if state[0] > 0.0:
        out[1] = min((bar[S_TS] - state[0]) / _MINUTE, params[0])


def newest(most: int) -> Kernel:
    """Mean tone of the bar's own items, and minutes since the last bar that had any."""
    return Kernel(
        _newest,
        (
            Feature("tone_shock", "-1 to 1", "mean score of the bar's items; 0 if none", _TETLOCK),
            Feature(
                "news_age",
                "minutes",
                f"time since the last bar with an item, at most {most}",
                _ATTENTION,
            ),
        ),
        (float(most),),
        state_size=1,
        warmup=most,
    )
