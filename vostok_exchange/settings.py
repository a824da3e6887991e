"""How an exchange is set up: its markets, accounts and keys, and when it opens.

All that happens on it follows from this and from what its accounts ask. It stands in `setup.json`
in the exchange's folder, written once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from vostok_core.errors import UsageError
from vostok_core.lake.atomic import replacing
from vostok_core.times import MINUTE, day_start
from vostok_exchange.world import Market

FORMAT = 1


class Key(Struct, frozen=True, forbid_unknown_fields=True):
    """An API key.

    Attributes:
        key: 64 letters and digits.
        secret: What its requests are signed with.
        trade: Whether it may place and cancel orders.
        withdraw: Whether it says that it may withdraw; nothing can be withdrawn.
    """

    key: str
    secret: str
    trade: bool = True
    withdraw: bool = False


class AccountSetup(Struct, frozen=True, forbid_unknown_fields=True):
    """An account; `uid` is its number, 1 or more."""

    uid: int
    keys: tuple[Key, ...]
    balances: dict[str, Decimal]


class Setup(Struct, frozen=True, forbid_unknown_fields=True):
    """An exchange.

    Attributes:
        seed: Seed of the world.
        first_day: First day of the history before the opening.
        start: Market time of the opening, microseconds, of a whole minute.
        markets: What is traded.
        accounts: Who trades.
        bnb_prices: Price of a BNB in each quote asset, for commission that is paid in it.
        format: Version of this form.
    """

    seed: int
    first_day: date
    start: int
    markets: tuple[Market, ...]
    accounts: tuple[AccountSetup, ...]
    bnb_prices: dict[str, Decimal]
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.start % MINUTE or self.start < day_start(self.first_day):
            raise _wrong("start is not a whole minute at or after the first day")
        if not self.markets:
            raise _wrong("it has no markets")
        names = [market.instrument.id.symbol for market in self.markets]
        keys = [key.key for account in self.accounts for key in account.keys]
        uids = [account.uid for account in self.accounts]
        for what, values in (("symbol", names), ("key", keys), ("account number", uids)):
            if len(set(values)) < len(values):
                raise _wrong(f"a {what} is there twice")
        if any(uid < 1 for uid in uids):
            raise _wrong("an account number is less than 1")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a setup.

        Raises:
            UsageError: It is absent, or can't be used.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            raise UsageError(
                "there is no exchange here", where=path, hint="`vostok-exchange run` makes one"
            ) from None
        except msgspec.DecodeError as error:
            raise _wrong(str(error)).within(path) from None
        except UsageError as error:
            raise error.within(path) from None

    def write(self, path: Path) -> None:
        """Write it, for its owner alone: it holds secrets."""
        with replacing(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")


def _wrong(what: str) -> UsageError:
    return UsageError(
        f"this can't be an exchange's setup: {what}",
        hint="set it up otherwise, or name another folder with --state",
    )


def demo_account(keys: Iterable[Key]) -> AccountSetup:
    """The account that a demo trades with: 100,000 USDT and 50 BNB."""
    balances = {"USDT": Decimal(100_000), "BNB": Decimal(50)}
    return AccountSetup(1, tuple(keys), balances)
