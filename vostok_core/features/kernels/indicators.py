"""The classics: RSI, MACD, Bollinger bands, ATR, ADX.

After their warm-up they equal the `ta` library and TA-Lib, but for these differences in convention:
MACD and ATR are divided by the close, so that they compare across prices; Bollinger's %b of a flat
window is 0.5 (`ta`: NaN) and its width a fraction (`ta`: percent); RSI without any move is 50
(`ta`: 100, TA-Lib: 0); DI without any range is 0, as in both.
"""

from __future__ import annotations

import math

from vostok_core.features.inputs import CLOSE, HIGH, LOW
from vostok_core.features.registry import Feature, Kernel, step_kernel

_TINY = 1e-100  # below it an exponential mean has forgotten its last move
_WILDER = "Wilder (1978), New Concepts in Technical Trading Systems"


@step_kernel
def _rsi(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: previous close, mean gain, mean loss."""
    close = bar[CLOSE]
    if state[0] > 0.0:
        change = close - state[0]
        state[1] += (max(change, 0.0) - state[1]) / params[0]
        state[2] += (max(-change, 0.0) - state[2]) / params[0]
    state[0] = close
    total = state[1] + state[2]
    out[0] = 100.0 * state[1] / total if total > _TINY else 50.0


def rsi(window: int) -> Kernel:
    """Relative strength: 100 * mean gain / (mean gain + mean loss), Wilder's means (1 / window)."""
    return Kernel(
        _rsi,
        (
            Feature(
                f"rsi_{window}",
                "0 to 100",
                f"100 * mean gain / (mean gain + mean loss), Wilder's means over {window} bars; 50 "
                "without any move",
                _WILDER,
            ),
        ),
        (float(window),),
        state_size=3,
        warmup=40 * window,
    )


@step_kernel
def _macd(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: fast mean, slow mean, signal, bars."""
    close = bar[CLOSE]
    if state[3] == 0.0:
        state[0] = close
        state[1] = close
        state[3] = 1.0
    state[0] += params[0] * (close - state[0])
    state[1] += params[1] * (close - state[1])
    line = state[0] - state[1]
    state[2] += params[2] * (line - state[2])
    out[0] = line / close
    out[1] = state[2] / close
    out[2] = (line - state[2]) / close


def macd(fast: int, slow: int, signal: int) -> Kernel:
    """MACD as fractions of the close.

    line = EMA_fast - EMA_slow, signal = EMA_signal of the line, histogram = line - signal; each
    divided by the close. The means are seeded with the first close.
    """
    source = "Appel (2005), Technical Analysis: Power Tools for Active Investors"
    spans = f"{fast}, {slow}, {signal}"
    return Kernel(
        _macd,
        (
            Feature("macd_line", "fraction", f"(EMA_{fast} - EMA_{slow}) / close", source),
            Feature("macd_signal", "fraction", f"MACD's signal ({spans}) / close", source),
            Feature("macd_histogram", "fraction", f"MACD's histogram ({spans}) / close", source),
        ),
        tuple(2.0 / (span + 1.0) for span in (fast, slow, signal)),
        state_size=4,
        warmup=20 * slow,
    )


@step_kernel
def _bollinger(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: position, ring of closes."""
    size = state.shape[0] - 1
    position = (int(state[0]) + 1) % size
    close = bar[CLOSE]
    state[0] = position
    state[1 + position] = close
    total = 0.0
    low = close
    high = close
    at = position
    for _ in range(size):
        value = state[1 + at]
        total += value
        low = min(low, value)
        high = max(high, value)
        at -= 1
        if at < 0:
            at += size
    if high == low:
        out[0] = 0.5
        out[1] = 0.0
        return
    mean = total / size
    squares = 0.0
    at = position
    for _ in range(size):
        difference = state[1 + at] - mean
        squares += difference * difference
        at -= 1
        if at < 0:
            at += size
    band = params[0] * math.sqrt(squares / size)
    out[0] = (close - (mean - band)) / (2.0 * band)
    out[1] = 2.0 * band / mean


def bollinger(window: int, deviations: float) -> Kernel:
    """Bollinger %b and bandwidth, with the population standard deviation of the window.

    %b = (close - lower) / (upper - lower); bandwidth = (upper - lower) / mean.
    """
    source = "Bollinger (2001), Bollinger on Bollinger Bands"
    what = f"bands of {deviations:g} standard deviations over {window} bars"
    return Kernel(
        _bollinger,
        (
            Feature(
                f"bollinger_b_{window}",
                "fraction",
                f"place of the close between the {what}; 0.5 if they are flat",
                source,
            ),
            Feature(
                f"bollinger_width_{window}", "fraction", f"distance of the {what} / mean", source
            ),
        ),
        (float(deviations),),
        state_size=1 + window,
        warmup=window - 1,
    )


@step_kernel
def _directional(bar, params, state, out):  # type: ignore[no-untyped-def]
    """state: previous high, low and close, mean true range, mean +DM, mean -DM, ADX."""
    window = params[0]
    high = bar[HIGH]
    low = bar[LOW]
    close = bar[CLOSE]
    if state[2] > 0.0:
        true_range = max(high, state[2]) - min(low, state[2])
        up = high - state[0]
        down = state[1] - low
        plus = up if up > down and up > 0.0 else 0.0
        minus = down if down > up and down > 0.0 else 0.0
        state[3] += (true_range - state[3]) / window
        state[4] += (plus - state[4]) / window
        state[5] += (minus - state[5]) / window
    else:
        state[3] = high - low
    state[0] = high
    state[1] = low
    state[2] = close
    plus_di = 100.0 * state[4] / state[3] if state[3] > _TINY else 0.0
    minus_di = 100.0 * state[5] / state[3] if state[3] > _TINY else 0.0
    total = plus_di + minus_di
    dx = 100.0 * abs(plus_di - minus_di) / total if total > 0.0 else 0.0
    state[6] += (dx - state[6]) / window
    out[0] = state[3] / close
    out[1] = state[6]
    out[2] = plus_di
    out[3] = minus_di


def directional(window: int) -> Kernel:
    """Average true range and directional movement, with Wilder's means (1 / window).

    true range = max(high, previous close) - min(low, previous close); +DI = 100 * mean +DM / mean
    true range; DX = 100 * |+DI - -DI| / (+DI + -DI); ADX = mean DX.
    """
    return Kernel(
        _directional,
        (
            Feature(
                f"atr_{window}", "fraction", f"average true range of {window} bars / close", _WILDER
            ),
            Feature(
                f"adx_{window}", "0 to 100", f"average directional index of {window} bars", _WILDER
            ),
            Feature(
                f"plus_di_{window}",
                "0 to 100",
                f"positive directional indicator of {window} bars; 0 without any range",
                _WILDER,
            ),
            Feature(
                f"minus_di_{window}",
                "0 to 100",
                f"negative directional indicator of {window} bars; 0 without any range",
                _WILDER,
            ),
        ),
        (float(window),),
        state_size=7,
        warmup=60 * window,
    )
