"""Balances and commission, against fractions of whole assets."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vostok_core.errors import UsageError
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.trading.rules import rate_of
from vostok_exchange.accounts import Account, Balance, Rates, amounts, commission
from vostok_exchange.symbols import UNIT, Symbol, amount_text, units


def test_money_moves_between_free_and_locked_and_is_never_short() -> None:
    account = Account(1, balances=amounts({"USDT": Decimal(10)}))
    account.lock("USDT", 4 * UNIT)
    account.spend("USDT", 3 * UNIT)
    account.lock("USDT", -UNIT)
    account.credit("ABC", 5)
    assert account.balances == {"USDT": Balance(7 * UNIT, 0), "ABC": Balance(5, 0)}
    with pytest.raises(AssertionError, match="locked more than there is"):
        account.lock("USDT", 8 * UNIT)
    with pytest.raises(AssertionError, match="spent more than was locked"):
        account.spend("ABC", 1)
    with pytest.raises(AssertionError, match="paid more than there is"):
        account.credit("ABC", -6)


@pytest.mark.parametrize("amount", ["-1", "0.00000000000000001"])
def test_an_opening_balance_is_whole_units_and_not_negative(amount: str) -> None:
    with pytest.raises(UsageError, match="can't be a balance"):
        amounts({"USDT": Decimal(amount)})


def test_commission_is_paid_in_bnb_less_the_discount() -> None:
    """The example of Binance's commission FAQ: 0.49975 sold at 35,000, a BNB is worth 260."""
    account = Account(1, Rates(taker=rate_of(6)), {"BNB": Balance(UNIT)})
    worth = Fraction("0.49975") * 35_000
    in_bnb = worth * Fraction(6, 10_000) * Fraction(3, 4) / 260
    paid = commission(
        account, "USDT", int(worth * UNIT), int(worth * UNIT), Decimal(260), maker=False
    )
    assert paid == ("BNB", int(in_bnb * 10**8) * 10**8)
    assert amount_text(paid[1]) == "0.03027331"


def test_bnb_pays_as_long_as_there_is_just_enough() -> None:
    # 0.7 less a quarter, at 260 a BNB, is 0.00201923.
    account = Account(1, Rates(), {"BNB": Balance(201_923 * 10**8)})
    terms = ("ABC", 2 * UNIT, 700 * UNIT, Decimal(260))
    assert commission(account, *terms, maker=True) == ("BNB", 201_923 * 10**8)
    account.credit("BNB", -1)
    assert commission(account, *terms, maker=True) == ("ABC", 2 * UNIT // 1_000)


@pytest.mark.parametrize(
    ("rates", "bnb", "price"),
    [
        (Rates(), 10**12, Decimal(260)),
        (Rates(burn=False), UNIT, Decimal(260)),
        (Rates(), UNIT, None),
    ],
)
def test_without_bnb_commission_is_paid_in_full_from_what_was_received(
    rates: Rates, bnb: int, price: Decimal | None
) -> None:
    account = Account(1, rates, {"BNB": Balance(bnb)})
    paid = commission(account, "ABC", 2 * UNIT, 700 * UNIT, price, maker=True)
    assert paid == ("ABC", 2 * UNIT // 1_000)


@given(
    st.integers(0, 10**26),
    st.integers(0, 10**26),
    st.integers(0, 100),
    st.decimals("0.01", "5000", places=2),
)
def test_commission_is_the_exact_share_cut_to_eight_decimals(
    amount: int, worth: int, bps: int, bnb_price: Decimal
) -> None:
    rich = Account(1, Rates(maker=rate_of(bps)), {"BNB": Balance(10**40)})
    exact = Fraction(worth, UNIT) * Fraction(bps, 10_000) * Fraction(3, 4) / Fraction(bnb_price)
    assert commission(rich, "ABC", amount, worth, bnb_price, maker=True) == (
        "BNB",
        (exact * 10**8).__floor__() * 10**8,
    )
    plain = Account(1, Rates(maker=rate_of(bps), burn=False))
    exact = Fraction(amount, UNIT) * Fraction(bps, 10_000)
    assert commission(plain, "ABC", amount, worth, bnb_price, maker=True) == (
        "ABC",
        (exact * 10**8).__floor__() * 10**8,
    )


@given(st.decimals("0", "100000000", places=16))
def test_amounts_are_counted_exactly_and_printed_with_eight_decimals(amount: Decimal) -> None:
    count = units(amount)
    assert count is not None
    assert Fraction(count, UNIT) == Fraction(amount)
    assert Fraction(amount_text(count)) == Fraction((count // 10**8) * 10**8, UNIT)
    assert len(amount_text(count).split(".")[1]) == 8


def test_a_symbol_counts_in_its_own_steps() -> None:
    name = InstrumentId.parse("binance.spot.XRP-ETH")
    steps = (Decimal("0.00000001"), Decimal(1))
    symbol = Symbol.of(Instrument(name, "agg_trade", *steps, Decimal("0.001"), 1))
    assert (symbol.name, symbol.lot, symbol.atom) == ("XRPETH", UNIT, 10**8)
    assert symbol.ticks(Decimal("0.00031415")) == 31_415
    assert symbol.ticks(Decimal("0.000314155")) is None
    assert symbol.lots(Decimal("2.0")) == 2
    assert symbol.lots(Decimal("2.5")) is None
    assert (symbol.price_text(31_415), symbol.quantity_text(2)) == ("0.00031415", "2.00000000")
    assert symbol.worth_text(31_415 * 2) == "0.00062830"
    assert (symbol.paid_in("BUY"), symbol.paid_in("SELL")) == ("ETH", "XRP")


def test_a_symbol_whose_worth_is_finer_than_a_unit_is_refused() -> None:
    name = InstrumentId.parse("demo.spot.ABC-USDT")
    fine = Instrument(name, "agg_trade", Decimal("1e-9"), Decimal("1e-8"), Decimal(5), 1)
    with pytest.raises(UsageError, match="can't be counted in units of 1e-16"):
        Symbol.of(fine)
