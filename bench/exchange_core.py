"""How many prints and orders a second the exchange's core carries, on one core.

    .venv/bin/python bench/exchange_core.py [--prints 100000] [--orders 20000]

A print moves the house's ladder and trades; its trade, aggregate, depth change and best prices come
back as events. An order is an IOC buy or sell that trades at once, with its reports and balances.
Seconds are those of the process, so other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from decimal import Decimal

from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.synthetic import MarketSpec, MarketState
from vostok_exchange.flow import Flow
from vostok_exchange.orders import OrderRequest
from vostok_exchange.venue import Venue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prints", type=int, default=100_000)
    parser.add_argument("--orders", type=int, default=20_000)
    asked = parser.parse_args()

    spec = MarketSpec(trades_per_minute=60.0)
    instrument = Instrument(
        InstrumentId.parse("demo.spot.EDGE-USDT"),
        "agg_trade",
        Decimal("0.01"),
        Decimal("0.00001"),
        Decimal(5),
        600_000_000,
    )
    venue = Venue({"USDT": Decimal(600)})
    listing = venue.list_symbol(instrument, last_price=Decimal(30_000))
    venue.open_account(1, {"USDT": Decimal(10**8), "EDGE": Decimal(10**4), "BNB": Decimal(10**4)})
    flow = Flow(venue, listing, spec, MarketState.start(spec, 1, 0))
    flow.step()

    kinds: Counter[str] = Counter()
    begun = time.process_time()
    for _ in range(asked.prints):
        kinds.update(type(event).__name__ for event in flow.step())
    spent = time.process_time() - begun
    told = ", ".join(f"{count / asked.prints:.2f} {kind}" for kind, count in kinds.items())
    print(f"{asked.prints / spent:,.0f} prints/s; per print {told}")

    begun = time.process_time()
    for number in range(asked.orders):
        buys = number % 2 == 0
        price = listing.symbol.price(round(listing.last_price * (1.005 if buys else 0.995)))
        request = OrderRequest(
            "EDGEUSDT",
            "BUY" if buys else "SELL",
            "LIMIT",
            quantity=Decimal("0.01"),
            price=price,
            time_in_force="IOC",
        )
        venue.place(1, request, listing.now)
    spent = time.process_time() - begun
    print(f"{asked.orders / spent:,.0f} orders/s, each traded")


if __name__ == "__main__":
    main()
