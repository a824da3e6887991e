"""Whether an entry happens: what it may pay and how long it waits.

The engine orders by these rules, the simulated venue fills by them, and labels leave out the
events whose entry would not have filled, so that a model learns from the trades that are made.
"""

from __future__ import annotations

from vostok_core.trading.rules import BPS_SCALE, Rules, charge, rate_of

CAP_BPS = 50.0
"""How far above the reference price an entry may pay, basis points."""

_CAP_RATE = rate_of(CAP_BPS)


def entry_cap(reference: int, take_profit: int) -> int:
    """Highest price that an entry may pay, slippage included; all three in ticks.

    Buying at or above the take-profit would sell at a loss at once.
    """
    return min(reference + reference * _CAP_RATE // BPS_SCALE, take_profit - 1)


def entry_expiry(decision_ts: int, horizon_us: int) -> int:
    """When an entry ends that has not filled before: at the vertical barrier, microseconds."""
    return decision_ts + horizon_us


def entry_price(rules: Rules, price: float, slippage_rate: int) -> int:
    """Ticks that a buy pays where the path has `price`: worsened by slippage, rounded up."""
    ticks = rules.ticks_up(price)
    return ticks + charge(ticks, slippage_rate)
