"""What a strategy's labels were made by, as one hash: the code version of their partitions."""

from __future__ import annotations

from vostok_core.features.registry import pack
from vostok_core.hashing import hash_value
from vostok_core.labels import events, triple_barrier
from vostok_core.market.instrument import Instrument
from vostok_core.strategy import Strategy


def label_version(strategy: Strategy, instrument: Instrument) -> str:
    """Hash of all that decides labels but the market data: first 16 hex digits.

    Labels are kept by the strategy's name, and what that name stands for can be edited; so labels
    are written with this as their code version, and training asks for it. It covers the rules of
    events, labels and costs, the interval, the pack of the volatility, the versions of the code,
    and what of the instrument a label depends on: its price step, and whether it has ticks.

    Raises:
        UnknownName: No pack of the strategy has its volatility feature.
    """
    rules = strategy.resolved()
    return hash_value(
        {
            **{section: rules[section] for section in ("interval", "events", "labels", "costs")},
            "pack": pack(events.volatility_pack(strategy)).hash,
            "price_tick": str(instrument.price_tick.normalize()),
            "tick": instrument.tick,
            "code": [events.CODE_VERSION, triple_barrier.CODE_VERSION],
        }
    )[:16]
