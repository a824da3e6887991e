"""Whether a key may do what it should, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping

from vostok_live.gateway.port import GatewayError

_MOVES_MONEY = ("enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer")
_TRADES = "enableSpotAndMarginTrading"


def check_permissions(allowed: Mapping[str, bool], where: str) -> str | None:
    """Refuse a key that could move money away, or can't trade.

    Args:
        allowed: What it may do, by the exchange's names.
        where: The exchange, for errors.

    Returns:
        What a person should mend all the same; None where all is well.

    Raises:
        GatewayError: It may withdraw or transfer, or may not trade.
    """
    moves = [name for name in _MOVES_MONEY if allowed.get(name)]
    if moves:
        raise GatewayError(
            f"the key may move money out of the account ({', '.join(moves)})",
            where=where,
            hint="make a key that may read and trade, and nothing else: a stolen one can do less",
        )
    if not allowed.get(_TRADES, False):
        raise GatewayError(
            "the key may not trade", where=where, hint=f"allow it: {_TRADES} at the exchange"
        )
    if not allowed.get("ipRestrict", False):
        return "the key works from any address; restrict it to this machine's at the exchange"
    return None
