"""How much prices move: volatility, returns in units of it, and realised variance."""

from __future__ import annotations

import math

from vostok_core.features.inputs import CLOSE, HIGH, LOW, RETURN_SQ_SUM, VOLUME
from vostok_core.features.registry import Feature, Kernel, step_kernel

CAPPED = 2880
"""Bars that the slowest features wait for, by declaration: their memory is longer than this."""

_RISKMETRICS = "RiskMetrics Technical Document (1996), 5.2"
_REALISED = "Andersen, Bollerslev, Diebold and Labys (2003), Econometrica 71"


def _bars(count: int) -> str:
    return "1 bar" if count == 1 else f"{count} bars"


@step_kernel
def _volatility(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: previous close, weighted sum of squares, sum of weights."""
    alpha = params[0]
    close = bar[CLOSE]
    if state[0] > 0.0:
        r = math.log(close / state[0])
        state[1] += alpha * (r * r - state[1])
        state[2] += alpha * (1.0 - state[2])
    state[0] = close
    out[0] = math.sqrt(state[1] / state[2]) if state[2] > 0.0 else math.nan


def volatility(span: int) -> Kernel:
    """Standard deviation of one bar's log return: sqrt of the exponential mean of its square.

    sqrt(sum w_k r_k^2 / sum w_k), w_k = (1 - 2 / (span + 1))^age, mean taken as 0. A span above
    about 275 remembers more than the 2,880 bars that the warm-up is capped at.
    """
    exact = math.ceil(10.4 * (span + 1))
    return Kernel(
        _volatility,
        (
            Feature(
                f"volatility_{span}",
                "log return",
                f"standard deviation of one bar's log return: sqrt of the exponential mean (span "
                f"{span}) of its square",
                _RISKMETRICS,
            ),
        ),
        (2.0 / (span + 1.0),),
        state_size=3,
        warmup=min(exact, CAPPED),
        capped=exact > CAPPED,
    )


@step_kernel
def _returns(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: position, bars, weighted sum of squares, sum of weights, ring of closes."""
    alpha = params[0]
    close = bar[CLOSE]
    size = state.shape[0] - 4
    position = int(state[0])
    if state[1] > 0.0:
        r = math.log(close / state[4 + position])
        state[2] += alpha * (r * r - state[2])
        state[3] += alpha * (1.0 - state[3])
    position = (position + 1) % size
    state[0] = position
    state[1] += 1.0
    state[4 + position] = close
    sigma = math.sqrt(state[2] / state[3]) if state[3] > 0.0 else math.nan
    windows = params.shape[0] - 1
    for j in range(windows):
        window = int(params[1 + j])
        before = state[4 + (position - window) % size]
        if before == 0.0:
            out[j] = math.nan
        elif sigma == 0.0:
            out[j] = 0.0
        else:
            out[j] = math.log(close / before) / (sigma * math.sqrt(window))
    if sigma == 0.0:
        out[windows] = 0.0
    else:
        out[windows] = math.log(bar[HIGH] / bar[LOW]) / sigma


def returns(windows: tuple[int, ...], span: int) -> Kernel:
    """Log returns over windows of bars, and the bar's range, in units of causal volatility.

    log(close_t / close_{t-h}) / (volatility_<span>_t * sqrt(h)); 0 while the volatility is 0.
    """
    return Kernel(
        _returns,
        (
            *(
                Feature(
                    f"return_{h}",
                    "sigma",
                    f"log return over {_bars(h)} / (volatility_{span} * sqrt({h})); 0 if that is 0",
                    "López de Prado (2018), Advances in Financial Machine Learning, 3.3",
                )
                for h in windows
            ),
            Feature(
                "bar_range",
                "sigma",
                f"log(high / low) / volatility_{span}; 0 if that is 0",
                "Parkinson (1980), Journal of Business 53",
            ),
        ),
        (2.0 / (span + 1.0), *(float(h) for h in windows)),
        state_size=4 + max(windows) + 1,
        warmup=CAPPED,
        capped=True,
    )


@step_kernel
def _realised(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: position, previous close, ring of squared returns, ring of tick variances."""
    size = (state.shape[0] - 2) // 2
    last = params.shape[0] - 1
    position = int(state[0])
    close = bar[CLOSE]
    squared = 0.0
    if state[1] > 0.0:
        r = math.log(close / state[1])
        squared = r * r
    state[1] = close
    position = (position + 1) % size
    state[0] = position
    state[2 + position] = squared
    state[2 + size + position] = bar[RETURN_SQ_SUM] if bar[VOLUME] > 0.0 else 0.0
    total = 0.0
    ticks = 0.0
    longest = int(params[last])
    tick_window = int(params[last - 1])
    done = 0
    at = position
    for k in range(longest):
        total += state[2 + at]
        if k < tick_window:
            ticks += state[2 + size + at]
        if done < last and k + 1 == int(params[done]):
            out[done] = total
            out[last + done] = ticks
            done += 1
        at -= 1
        if at < 0:
            at += size
    for j in range(last):
        recent = out[j]
        if math.isnan(out[last + j]):
            out[last + j] = math.nan
        elif out[last + j] == 0.0:
            out[last + j] = 0.0
        else:
            out[last + j] = recent / out[last + j]
        out[j] = math.sqrt((recent / params[j]) / (total / longest)) if total > 0.0 else 0.0


def realised(windows: tuple[int, ...], longest: int) -> Kernel:
    """Realised volatility of short windows against a long one, and against that of the ticks.

    ratio: sqrt(mean of r^2 over the window / mean of r^2 over `longest` bars), r a bar's log
    return. variance ratio: sum of r^2 / sum over the same bars of the squared log returns between
    trades; below 1 when prints bounce between bid and ask, above 1 when they trend.

    Each bar sums `longest` values anew.
    """
    return Kernel(
        _realised,
        (
            *(
                Feature(
                    f"realised_ratio_{w}",
                    "ratio",
                    f"realised volatility of {w} bars / that of {longest} bars; 0 without any move",
                    _REALISED,
                )
                for w in windows
            ),
            *(
                Feature(
                    f"variance_ratio_{w}",
                    "ratio",
                    f"sum of squared bar returns / sum of squared returns between trades, {w} bars;"
                    " 0 if the latter is 0",
                    "Lo and MacKinlay (1988), Review of Financial Studies 1",
                )
                for w in windows
            ),
        ),
        (*(float(w) for w in windows), float(longest)),
        state_size=2 + 2 * longest,
        warmup=longest,
    )
