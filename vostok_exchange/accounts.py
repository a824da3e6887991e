"""Accounts: balances in whole units, and what a trade costs.

Units are 10^-16 of an asset (see `symbols`). No balance is ever below zero; asking for more than
there is is a fault of the caller's, who checks first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from vostok_core.errors import UsageError
from vostok_core.trading.rules import BPS_SCALE, rate_of
from vostok_exchange.symbols import PLACES, UNIT, units

DISCOUNT_ASSET = "BNB"
_CENT = UNIT // 10**PLACES


@dataclass(frozen=True, slots=True)
class Rates:
    """What an account pays on a trade, in millionths of a basis point (see `trading.rules`).

    Attributes:
        maker: When its order rested.
        taker: When it did not.
        discount: Share of it that is waived when it is paid in BNB, in basis points.
        burn: Whether it is paid in BNB where there is enough.
    """

    maker: int = rate_of(10)
    taker: int = rate_of(10)
    discount: int = 2_500
    burn: bool = True


@dataclass(slots=True)
class Balance:
    """Units of one asset; what is locked pays for open orders."""

    free: int = 0
    locked: int = 0


@dataclass(slots=True)
class Account:
    """One account.

    Attributes:
        uid: Its number, 1 or more.
        rates: What it pays.
        balances: By asset.
        updated: Time of the last change.
    """

    uid: int
    rates: Rates = field(default_factory=Rates)
    balances: dict[str, Balance] = field(default_factory=dict)
    updated: int = 0

    def of(self, asset: str) -> Balance:
        """The balance of an asset, zero where it never had any."""
        balance = self.balances.get(asset)
        if balance is None:
            balance = self.balances[asset] = Balance()
        return balance

    def lock(self, asset: str, amount: int) -> None:
        """Set free units aside for an order; a negative amount gives them back."""
        balance = self.of(asset)
        balance.free -= amount
        balance.locked += amount
        assert balance.free >= 0, "locked more than there is"
        assert balance.locked >= 0, "gave back more than was locked"

    def spend(self, asset: str, amount: int) -> None:
        """Pay from what is locked."""
        balance = self.of(asset)
        balance.locked -= amount
        assert balance.locked >= 0, "spent more than was locked"

    def credit(self, asset: str, amount: int) -> None:
        """Receive, or pay from what is free where the amount is negative."""
        balance = self.of(asset)
        balance.free += amount
        assert balance.free >= 0, "paid more than there is"


def amounts(balances: Mapping[str, Decimal]) -> dict[str, Balance]:
    """Opening balances.

    Raises:
        UsageError: One is negative or finer than a unit.
    """
    opened = {}
    for asset, amount in balances.items():
        count = units(amount)
        if count is None or count < 0:
            raise UsageError(
                f"{amount} {asset} can't be a balance",
                hint="write zero or more, with at most 16 decimals",
            )
        opened[asset] = Balance(count)
    return opened


def commission(
    account: Account,
    received: str,
    amount: int,
    worth: int,
    bnb_price: Decimal | None,
    *,
    maker: bool,
) -> tuple[str, int]:
    """The asset and the units that a fill costs, cut to the exchange's eight decimals.

    It is paid in BNB, less the discount, where the account burns BNB and has enough of it free;
    otherwise in full, in what was received.

    Args:
        account: Who pays; what was received is credited already.
        received: Asset received.
        amount: Units received.
        worth: Units of quote that were traded.
        bnb_price: Price of a BNB in quote; None where the venue knows none.
        maker: Whether the order rested.
    """
    rates = account.rates
    rate = rates.maker if maker else rates.taker
    if rates.burn and bnb_price is not None:
        price, scale = bnb_price.as_integer_ratio()
        full = worth * rate * (10_000 - rates.discount) * scale
        in_bnb = full // (BPS_SCALE * 10_000 * price) // _CENT * _CENT
        if in_bnb <= account.of(DISCOUNT_ASSET).free:
            return DISCOUNT_ASSET, in_bnb
    return received, amount * rate // BPS_SCALE // _CENT * _CENT
