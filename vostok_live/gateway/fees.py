"""What a trade's commission is worth, in atoms of quote."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from vostok_core.market.instrument import Instrument
from vostok_core.trading.rules import charge
from vostok_live.gateway.port import TradeReport

PriceOf: TypeAlias = Callable[[str], Decimal | None]
"""What one of an asset is worth in quote now; None where nobody knows."""


def fee_atoms(
    trade: TradeReport, instrument: Instrument, price_of: PriceOf, rate: int
) -> tuple[int, bool]:
    """A trade's commission in atoms of quote, rounded up.

    Commission in quote is what it is, in base it is worth the trade's price, and in another asset
    (BNB) what `price_of` says. Where that is not known, the fee is `rate` of what was traded.

    Args:
        trade: The trade.
        instrument: What was traded.
        price_of: Prices of other assets.
        rate: Over `BPS_SCALE`; what a trade costs at most.

    Returns:
        Atoms, and whether they are such an estimate.
    """
    if not trade.commission:
        return 0, False
    base, quote = instrument.id.base, instrument.id.quote
    worth = Fraction(trade.price)
    if trade.commission_asset == quote:
        worth = Fraction(1)
    elif trade.commission_asset != base:
        price = price_of(trade.commission_asset)
        if price is None:
            traded = Fraction(trade.price * trade.qty) / Fraction(instrument.quote_atom)
            return charge(-(-traded // 1), rate), True
        worth = Fraction(price)
    return -(-Fraction(trade.commission) * worth // Fraction(instrument.quote_atom)), False
