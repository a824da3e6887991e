"""How far the price is from its means."""

from __future__ import annotations

import math

from vostok_core.features.inputs import CLOSE, HIGH, LOW, QUOTE_VOLUME, VOLUME
from vostok_core.features.registry import Feature, Kernel, step_kernel

_MURPHY = "Murphy (1999), Technical Analysis of the Financial Markets, 9"


@step_kernel
def _ema_distance(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: mean."""
    close = bar[CLOSE]
    if state[0] == 0.0:
        state[0] = close
    state[0] += params[0] * (close - state[0])
    out[0] = close / state[0] - 1.0


def ema_distance(span: int) -> Kernel:
    """close / EMA - 1, the mean seeded with the first close, weight 2 / (span + 1)."""
    return Kernel(
        _ema_distance,
        (
            Feature(
                f"ema_distance_{span}", "fraction", f"close / EMA over {span} bars - 1", _MURPHY
            ),
        ),
        (2.0 / (span + 1.0),),
        state_size=1,
        warmup=12 * span,
    )


@step_kernel
def _window_distances(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: position, then rings of close, quote volume and volume."""
    size = (state.shape[0] - 1) // 3
    position = (int(state[0]) + 1) % size
    close = bar[CLOSE]
    volume = bar[VOLUME]
    quote = bar[QUOTE_VOLUME]
    if volume == 0.0:
        quote = 0.0
    elif math.isnan(quote):
        quote = (bar[HIGH] + bar[LOW] + close) / 3.0 * volume
    state[0] = position
    state[1 + position] = close
    state[1 + size + position] = quote
    state[1 + 2 * size + position] = volume
    closes = 0.0
    quotes = 0.0
    volumes = 0.0
    done = 0
    at = position
    for k in range(size):
        closes += state[1 + at]
        quotes += state[1 + size + at]
        volumes += state[1 + 2 * size + at]
        if k + 1 == int(params[done]):
            out[done] = close / (closes / (k + 1)) - 1.0
            out[params.shape[0] + done] = (
                close / (quotes / volumes) - 1.0 if volumes > 0.0 and quotes > 0.0 else 0.0
            )
            done += 1
        at -= 1
        if at < 0:
            at += size


def window_distances(windows: tuple[int, ...]) -> Kernel:
    """close / mean - 1 for the simple mean of closes and for the volume-weighted mean price.

    The volume-weighted mean is sum of quote volume / sum of volume; where the quote volume is
    unknown, (high + low + close) / 3 * volume stands for it, as in the `ta` library.
    """
    return Kernel(
        _window_distances,
        (
            *(
                Feature(
                    f"sma_distance_{w}", "fraction", f"close / mean close of {w} bars - 1", _MURPHY
                )
                for w in windows
            ),
            *(
                Feature(
                    f"vwap_distance_{w}",
                    "fraction",
                    f"close / VWAP of {w} bars - 1; 0 without any volume",
                    "Berkowitz, Logue and Noser (1988), Journal of Finance 43",
                )
                for w in windows
            ),
        ),
        tuple(float(w) for w in windows),
        state_size=1 + 3 * max(windows),
        warmup=max(windows) - 1,
    )
