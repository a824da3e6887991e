"""Buying against selling: order-flow imbalance and cumulative volume delta, windowed.

The delta of a bar is 2 * buy_volume - volume, buy_volume being what takers bought. Delta cumulated
since the dawn of history depends on where history begins; its windows don't.
"""

from __future__ import annotations

import math

from vostok_core.features.inputs import BUY_VOLUME, VOLUME
from vostok_core.features.registry import Feature, Kernel, step_kernel

_IMBALANCE = "Chordia, Roll and Subrahmanyam (2002), Journal of Financial Economics 65"
_SURPRISE = "Hasbrouck (1991), Journal of Finance 46"


@step_kernel
def _flow(bar, params, state, out):  # type: ignore[no-untyped-def]
    """params: levels, windows…; state: position, then rings of delta and volume."""
    size = (state.shape[0] - 1) // 2
    levels = int(params[0])
    windows = params.shape[0] - 1
    position = (int(state[0]) + 1) % size
    volume = bar[VOLUME]
    state[0] = position
    state[1 + position] = 2.0 * bar[BUY_VOLUME] - volume if volume > 0.0 else 0.0
    state[1 + size + position] = volume
    delta = 0.0
    volumes = 0.0
    done = 0
    at = position
    for k in range(size):
        delta += state[1 + at]
        volumes += state[1 + size + at]
        if k + 1 == int(params[1 + done]):
            out[done] = delta / volumes if volumes > 0.0 else 0.0
            if done >= windows - 1 - levels and done < windows - 1:
                out[done + 1 + levels] = delta
            done += 1
        at -= 1
        if at < 0:
            at += size
    mean = volumes / size
    for j in range(windows, windows + levels):
        out[j] = out[j] / mean if mean > 0.0 else 0.0


def flow(windows: tuple[int, ...], levels: int) -> Kernel:
    """Order-flow imbalance of windows of bars, and the windowed delta of the longest but one.

    imbalance = sum(delta) / sum(volume), from -1 (all sold) to 1 (all bought). cvd = sum(delta) /
    mean volume of a bar over the longest window, for the `levels` windows before the longest.
    """
    longest = windows[-1]
    return Kernel(
        _flow,
        (
            *(
                Feature(
                    f"flow_imbalance_{w}",
                    "-1 to 1",
                    f"sum(2 * buy volume - volume) / sum(volume) over {w} bars; 0 without volume",
                    _IMBALANCE,
                )
                for w in windows
            ),
            *(
                Feature(
                    f"cvd_{w}",
                    "mean bars of volume",
                    f"sum(2 * buy volume - volume) over {w} bars / mean volume of {longest} bars; "
                    "0 without volume",
                    _IMBALANCE,
                )
                for w in windows[-1 - levels : -1]
            ),
        ),
        (float(levels), *(float(w) for w in windows)),
        state_size=1 + 2 * longest,
        warmup=longest - 1,
    )


@step_kernel
def _flow_means(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: previous imbalance, known, imbalance and its weight, innovation and its weight."""
    alpha = params[0]
    volume = bar[VOLUME]
    imbalance = (2.0 * bar[BUY_VOLUME] - volume) / volume if volume > 0.0 else 0.0
    out[0] = math.nan
    out[1] = math.nan
    if math.isnan(imbalance):
        state[1] = 0.0
        return
    state[2] += alpha * (imbalance - state[2])
    state[3] += alpha * (1.0 - state[3])
    out[0] = state[2] / state[3]
    if state[1] == 1.0:
        state[4] += alpha * (imbalance - params[1] * state[0] - state[4])
        state[5] += alpha * (1.0 - state[5])
        out[1] = state[4] / state[5]
    state[0] = imbalance
    state[1] = 1.0


def flow_means(span: int, persistence: float) -> Kernel:
    """Exponential means of a bar's imbalance, and of what its own past didn't foretell.

    innovation_t = imbalance_t - persistence * imbalance_{t-1}: only the surprise in flow carries
    information. An unknown imbalance is passed over; so is the innovation on the bar after it.
    """
    return Kernel(
        _flow_means,
        (
            Feature(
                f"flow_ema_{span}",
                "-1 to 1",
                f"exponential mean (span {span}) of the imbalance of one bar, which is 0 without "
                "volume",
                _IMBALANCE,
            ),
            Feature(
                f"flow_innovation_{span}",
                "-2 to 2",
                f"exponential mean (span {span}) of imbalance - {persistence:g} * previous "
                "imbalance",
                _SURPRISE,
            ),
        ),
        (2.0 / (span + 1.0), float(persistence)),
        state_size=6,
        warmup=12 * span,
    )
