"""Whether the exchange trades a symbol as the daemon counts it, by what ccxt knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from vostok_core.market.instrument import Instrument
from vostok_core.trading.config import Capabilities
from vostok_live.gateway.port import GatewayError


def check(market: Mapping[str, Any] | None, instrument: Instrument, where: str) -> Capabilities:
    """What the engine may ask for in a symbol.

    Args:
        market: ccxt's view of it; None where the exchange has none.
        instrument: Ours.
        where: The exchange, for errors.

    Raises:
        GatewayError: There is no such symbol, it counts in other ticks or lots, its least order is
            larger, or it takes no OCO.
    """
    name = instrument.id
    if market is None:
        raise GatewayError(
            f"the exchange has no symbol {name.symbol}",
            where=where,
            hint="check the instrument's name in vostok.toml",
        )
    grid, allowed = market["precision"], market["info"]
    for what, theirs, ours in (
        ("base and quote", (market["baseId"], market["quoteId"]), (name.base, name.quote)),
        ("price_tick", Decimal(str(grid["price"])), instrument.price_tick),
        ("quantity_step", Decimal(str(grid["amount"])), instrument.quantity_step),
        ("ocoAllowed", allowed.get("ocoAllowed"), True),
    ):
        if theirs != ours:
            raise GatewayError(
                f"{what} of {name.symbol} is {theirs} at the exchange, and {ours} here",
                where=where,
                hint="mend the instrument in vostok.toml, and start on a flat account",
            )
    least = Decimal(str(market["limits"]["cost"]["min"] or 0))
    if least > instrument.min_notional:
        raise GatewayError(
            f"the least order of {name.symbol} is worth {least} at the exchange, and "
            f"{instrument.min_notional} here",
            where=where,
            hint="raise min_notional of the instrument in vostok.toml",
        )
    return Capabilities(
        entry_list=bool(allowed.get("otoAllowed")),
        replace=bool(allowed.get("cancelReplaceAllowed")),
        max_market=_most(market, instrument.quantity_step),
    )


def _most(market: Mapping[str, Any], step: Decimal) -> int:
    """Lots that one market order may have, by LOT_SIZE and MARKET_LOT_SIZE; 0 for any number."""
    limits = (market["limits"].get(name) or {} for name in ("amount", "market"))
    given = [Decimal(str(limit["max"])) for limit in limits if limit.get("max")]
    return int(min(given) // step) if given else 0
