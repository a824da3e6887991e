"""How many lots an entry buys."""

from __future__ import annotations

from vostok_core.trading.rules import BPS_SCALE


def entry_lots(equity: int, cash: int, fraction: int, cap: int, fee_rate: int) -> int:
    """Lots worth a fraction of equity at the entry's price cap, that cash can pay, fee included.

    Args:
        equity: Atoms.
        cash: Atoms.
        fraction: Share of equity, over `BPS_SCALE`.
        cap: Highest price that the entry may pay, ticks.
        fee_rate: Taker fee, over `BPS_SCALE`.

    Returns:
        Lots, rounded down; 0 when there is nothing to stake.

    Both bounds hold at the cap, so a fill anywhere below it stakes less, never more.
    """
    if cap < 1:
        return 0
    staked = equity * fraction // (BPS_SCALE * cap)
    # One atom is kept back, because the fee of the whole is rounded up.
    affordable = (cash - 1) * BPS_SCALE // (cap * (BPS_SCALE + fee_rate))
    return max(0, min(staked, affordable))
