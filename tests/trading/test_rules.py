"""Integers of ticks, lots and atoms, and the sizes made of them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import SettingsError
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.strategy import Strategy, StrategyFile
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.rules import BPS_SCALE, Rules, charge, rate_of
from vostok_core.trading.sizing import entry_lots

TICKS = ["0.01", "0.00000001", "0.1", "0.05", "0.25", "1", "10", "0.001"]


def instrument(tick: str = "0.01", step: str = "0.00001", least: str = "5") -> Instrument:
    return Instrument(
        InstrumentId.parse("binance.spot.BTC-USDT"),
        "trade",
        Decimal(tick),
        Decimal(step),
        Decimal(least),
        60_000_000,
    )


@settings(deadline=None)
@given(st.sampled_from(TICKS), st.integers(1, 10**9))
def test_a_printed_price_and_its_ticks_are_the_same_thing(tick: str, ticks: int) -> None:
    rules = Rules.of(instrument(tick))
    printed = float(Decimal(tick) * ticks)
    assert rules.price(ticks) == printed
    assert rules.ticks(printed) == rules.ticks_up(printed) == rules.ticks_down(printed) == ticks


@settings(deadline=None)
@given(st.sampled_from(TICKS), st.floats(0.5, 1e6))
def test_a_price_off_the_grid_lies_between_its_neighbours(tick: str, price: float) -> None:
    rules = Rules.of(instrument(tick))
    assert rules.price(rules.ticks_down(price)) <= price <= rules.price(rules.ticks_up(price))
    assert rules.ticks_up(price) - rules.ticks_down(price) in (0, 1)


def test_least_notional_is_rounded_up_to_the_atom() -> None:
    assert Rules.of(instrument("0.01", "0.00001", "5")).min_notional == 50_000_000
    assert Rules.of(instrument("0.3", "0.1", "1")).min_notional == 34


def test_money_goes_into_atoms_and_back() -> None:
    rules = Rules.of(instrument())
    assert rules.atoms(Decimal(100_000)) == 10**12
    assert rules.money(10**12) == 100_000.0
    assert rules.atoms(0.00000019) == 1


@settings(deadline=None)
@given(st.integers(0, 10**15), st.floats(0, 500))
def test_a_fee_is_never_less_than_its_rate_and_less_than_an_atom_more(
    amount: int, bps: float
) -> None:
    rate = rate_of(bps)
    exact = Fraction(amount * rate, BPS_SCALE)
    assert exact <= charge(amount, rate) < exact + 1


@settings(deadline=None)
@given(
    st.integers(0, 10**13),
    st.integers(0, 10**13),
    st.floats(0.001, 1),
    st.integers(1, 10**7),
    st.floats(0, 100),
)
def test_an_entry_can_be_paid_and_is_within_its_fraction(
    equity: int, cash: int, fraction: float, cap: int, fee_bps: float
) -> None:
    share, fee = rate_of(fraction * 10_000), rate_of(fee_bps)
    lots = entry_lots(equity, cash, share, cap, fee)
    assert lots >= 0
    if lots:
        assert lots * cap + charge(lots * cap, fee) <= cash
    assert lots * cap * BPS_SCALE <= equity * share
    more = lots + 1
    affordable = more * cap + charge(more * cap, fee) <= cash - 1
    assert not (affordable and more * cap * BPS_SCALE <= equity * share)


def test_no_price_buys_nothing() -> None:
    assert entry_lots(10**9, 10**9, BPS_SCALE, 0, 0) == 0


def test_a_strategy_file_says_what_the_engine_does() -> None:
    strategy = Strategy(
        "s",
        StrategyFile.model_validate(
            {
                "description": "d",
                "instruments": ["binance.spot.BTC-USDT"],
                "labels": {"horizon": "2h", "take_profit": 2.0, "stop_loss": 1.0},
                "costs": {"taker_fee_bps": 7.5},
                "decision": {"fraction": 0.25},
            }
        ),
    )
    config = EngineConfig.from_strategy(strategy, run="r1")
    assert config.horizon_us == 7_200_000_000
    assert (config.take_profit, config.stop_loss, config.fraction) == (2.0, 1.0, 0.25)
    assert config.fee_rate == 7_500_000


@pytest.mark.parametrize(
    "wrong", [{"run": "a-b"}, {"run": "x" * 13}, {"fraction": 1.5}, {"horizon_us": 0}]
)
def test_a_configuration_that_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"Hint"):
        EngineConfig(**({"run": "r", "horizon_us": 1, "take_profit": 1, "stop_loss": 1} | wrong))


def test_a_float_of_money_counts_as_the_decimal_that_it_prints_as() -> None:
    """0.3 is a hair less than three tenths in binary, and must not lose an atom by it."""
    rules = Rules.of(instrument("1", "0.1"))
    assert rules.atoms(0.3) == rules.atoms(Decimal("0.3")) == 3
    assert rules.atoms(0.29999) == 2


def test_a_refused_setting_says_which_values_would_do() -> None:
    with pytest.raises(SettingsError, match="Hint: use 1 or more"):
        EngineConfig(run="r", horizon_us=0, take_profit=1, stop_loss=1)
