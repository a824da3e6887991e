"""The prints inside bars: how many, how large, how alike, how often the side changes."""

from __future__ import annotations

import math

from vostok_core.features.inputs import (
    MAX_QTY,
    QTY_SQ_SUM,
    SIDE_CHANGES,
    SIZE_ENTROPY,
    TRADES,
    VOLUME,
)
from vostok_core.features.kernels.volatility import CAPPED
from vostok_core.features.registry import Feature, Kernel, step_kernel

_TINY = 1e-100
_AFML = "López de Prado (2018), Advances in Financial Machine Learning"


@step_kernel
def _activity(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: fast and slow of volume, its weights, of volume where trades are known, of trades and
    the weights of both."""
    for j in range(2):
        state[j] += params[j] * (bar[VOLUME] - state[j])
        state[2 + j] += params[j] * (1.0 - state[2 + j])
    slow = state[1] / state[3]
    out[0] = (state[0] / state[2]) / slow if slow > _TINY else 0.0
    trades = bar[TRADES] if bar[VOLUME] > 0.0 else 0.0
    if math.isnan(trades):
        out[1] = math.nan
        out[2] = math.nan
        return
    for j in range(2):
        state[4 + j] += params[j] * (bar[VOLUME] - state[4 + j])
        state[6 + j] += params[j] * (trades - state[6 + j])
        state[8 + j] += params[j] * (1.0 - state[8 + j])
    slow = state[7] / state[9]
    out[1] = (state[6] / state[8]) / slow if slow > _TINY else 0.0
    out[2] = 0.0
    if state[6] > _TINY and state[5] > _TINY:
        out[2] = (state[4] / state[6]) / (state[5] / state[7])


def activity(fast: int, slow: int) -> Kernel:
    """Volume, number of trades and mean trade size: exponential means, fast over slow."""
    what = f"exponential mean over {fast} bars / over {slow} bars"
    source = "Karpoff (1987), Journal of Financial and Quantitative Analysis 22"
    return Kernel(
        _activity,
        (
            Feature("volume_ratio", "ratio", f"volume: {what}; 0 without volume", source),
            Feature("trades_ratio", "ratio", f"number of trades: {what}; 0 without trades", source),
            Feature(
                "trade_size_ratio",
                "ratio",
                f"volume per trade: {what}; 0 without trades",
                source,
            ),
        ),
        (2.0 / (fast + 1.0), 2.0 / (slow + 1.0)),
        state_size=10,
        warmup=CAPPED,
        capped=True,
    )


@step_kernel
def _trade_shape(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: mean and weight of the entropy, mean and weight of the side-change rate."""
    volume = bar[VOLUME]
    known = True
    if volume > 0.0:
        out[0] = bar[SIZE_ENTROPY]
        out[2] = bar[MAX_QTY] / volume
        out[3] = bar[QTY_SQ_SUM] / (volume * volume)
        trades = bar[TRADES]
        changes = bar[SIDE_CHANGES]
        out[4] = changes / (trades - 1.0) if trades > 1.0 else 0.0 * (changes + trades)
        known = trades > 1.0
    else:
        out[0] = 0.0
        out[2] = 0.0
        out[3] = 0.0
        out[4] = 0.0
        known = False
    if volume > 0.0 and not math.isnan(out[0]):
        state[0] += params[0] * (out[0] - state[0])
        state[1] += params[0] * (1.0 - state[1])
    if known and not math.isnan(out[4]):
        state[2] += params[0] * (out[4] - state[2])
        state[3] += params[0] * (1.0 - state[3])
    out[1] = state[0] / state[1] if state[1] > 0.0 else 0.0
    out[5] = state[2] / state[3] if state[3] > 0.0 else 0.0
    if math.isnan(out[0]):
        out[1] = math.nan
    if math.isnan(out[4]):
        out[5] = math.nan


def trade_shape(span: int) -> Kernel:
    """What the trades of a bar look like, and exponential means over the bars that had any."""
    return Kernel(
        _trade_shape,
        (
            Feature(
                "size_entropy",
                "bit",
                "Shannon entropy of the bar's trade sizes in powers of two; 0 without trades",
                f"{_AFML}, 18.2",
            ),
            Feature(
                f"size_entropy_{span}",
                "bit",
                f"exponential mean (span {span}) of the entropy over bars with trades; 0 before "
                "the first",
                f"{_AFML}, 18.2",
            ),
            Feature(
                "largest_trade_share",
                "fraction",
                "largest trade / volume of the bar; 0 without trades",
                f"{_AFML}, 19.6",
            ),
            Feature(
                "size_concentration",
                "fraction",
                "sum of squared trade sizes / squared volume of the bar (Herfindahl); 0 without "
                "trades",
                "Hirschman (1964), American Economic Review 54",
            ),
            Feature(
                "side_change_rate",
                "fraction",
                "share of the bar's trades that took the other side than the trade before; 0 with "
                "fewer than two trades",
                "Hasbrouck and Ho (1987), Journal of Finance 42",
            ),
            Feature(
                f"side_change_rate_{span}",
                "fraction",
                f"exponential mean (span {span}) of that rate over bars with two trades or more; "
                "0 before the first",
                "Hasbrouck and Ho (1987), Journal of Finance 42",
            ),
        ),
        (2.0 / (span + 1.0),),
        state_size=4,
        warmup=CAPPED,
        capped=True,
    )
