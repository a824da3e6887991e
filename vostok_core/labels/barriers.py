"""Where the barriers of a long position stand. Labels and engine both ask here.

A barrier is `reference × (1 ± k × sigma)`, moved to a price the exchange accepts and never away
from the reference: the take-profit is rounded down, the stop-loss up. The distance is floored once,
in ticks; `Rules.price` turns whole ticks into the very double that the exchange prints.
"""

from __future__ import annotations

import math
from decimal import Decimal


def horizon_sigma(sigma_bar: float, horizon_bars: int) -> float:
    """Volatility over a horizon of bars, from the volatility of one bar."""
    return sigma_bar * math.sqrt(horizon_bars)


def barrier_ticks(
    reference: float,
    sigma: float,
    take_profit: float,
    stop_loss: float,
    price_tick: Decimal,
) -> tuple[int, int]:
    """Barriers of a long position, in whole ticks.

    Args:
        reference: Close of the event's bar, in quote per base.
        sigma: Volatility over the horizon (log return), known at the event.
        take_profit: Distance of the upper barrier, in sigmas.
        stop_loss: Distance of the lower barrier, in sigmas.
        price_tick: The instrument's price step.

    Returns:
        (take-profit, stop-loss). Each is at least one tick from the reference, since a stop at the
        reference would trigger by itself, and the stop is at least one tick.

    Raises:
        ValueError: `reference` or `sigma` is not a positive number.
    """
    if not (0.0 < reference < math.inf and 0.0 < sigma < math.inf):
        raise ValueError(f"no barriers around {reference!r} with a volatility of {sigma!r}")
    numerator, denominator = price_tick.as_integer_ratio()
    position = reference * denominator / numerator
    nearest = round(position)
    # A printed price is a whole number of ticks; only float division puts it a hair beside one.
    if abs(position - nearest) <= 1e-9 * max(1.0, position):
        position = float(nearest)
    upper = max(math.floor(position + position * (take_profit * sigma)), math.floor(position) + 1)
    lower = min(math.ceil(position - position * (stop_loss * sigma)), math.ceil(position) - 1)
    return upper, max(lower, 1)
