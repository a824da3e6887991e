"""The exchange of the simulation: the real one, served in memory, with time of its own.

`Place` is the machine-room view of it: what it was asked, and what is true in its books.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

from aiohttp import web

from tests.live.gateway_server import INSTRUMENT, KEY, RICH, RULES
from tests.simulation.network import Network
from tests.simulation.project import DAY
from vostok_core.market.synthetic import MarketSpec
from vostok_core.times import MINUTE, day_start
from vostok_exchange.clock import MarketClock
from vostok_exchange.commands import Place as PlaceOrder
from vostok_exchange.events import Event
from vostok_exchange.listing import Listing
from vostok_exchange.orders import Fill, Order, OrderRequest, Placed
from vostok_exchange.protocol.calls import Call
from vostok_exchange.server import Server
from vostok_exchange.settings import AccountSetup, Key, Setup
from vostok_exchange.symbols import UNIT
from vostok_exchange.world import Market

__all__ = ["BNB", "DAY", "INSTRUMENT", "KEY", "RICH", "RULES", "START", "Place", "setup"]

PORT = 8_731
URL = f"http://127.0.0.1:{PORT}"
OURS = 1
START = day_start(DAY) + 10 * MINUTE
"""Market time of the opening; the lake ends ten minutes before it."""
BNB = Decimal(500)
"""What a BNB is worth, in which commission is paid."""
FOREIGN = "web_4f1c02aa"
"""Client order id of an order that somebody else placed in the account."""


def setup(seed: int, trades_per_minute: float, price: float) -> Setup:
    """An exchange with one symbol and one account."""
    spec = MarketSpec(
        annual_volatility=1.5,
        trades_per_minute=trades_per_minute,
        start_price=price,
        mean_qty=50.0,
        quantity_step=0.001,
        news_per_day=200.0,
    )
    return Setup(
        seed,
        DAY,
        START,
        (Market(INSTRUMENT, spec),),
        (AccountSetup(OURS, (Key(KEY.key, KEY.secret),), RICH),),
        {"USDT": BNB},
    )


class Place:
    """The exchange.

    Args:
        folder: Where it keeps itself.
        made: How it is set up.
        speed: Seconds of market time in a second.
        wall: The wall's time, nanoseconds.
        time: Seconds of the loop.
        hold: Awaited with every request that places or cancels, before it is matched.

    Attributes:
        speed: As given.
        server: The exchange itself.
    """

    def __init__(
        self,
        folder: Path,
        made: Setup,
        speed: float,
        wall: Callable[[], int],
        time: Callable[[], float],
        hold: Callable[[Call], Awaitable[None]],
    ) -> None:
        self.speed = speed
        self.server = Server(
            folder,
            setup=made,
            speed=speed,
            clock=lambda start: MarketClock(start, speed, time),
            wall=wall,
            hold=hold,
        )

    async def open(self, network: Network, hear: Callable[[list[Event]], None]) -> None:
        """Serve, and place somebody else's order."""
        runner = web.AppRunner(self.server.app, access_log=None, handle_signals=False)
        await runner.setup()
        assert runner.server is not None, "it has been set up"
        network.listen(PORT, runner.server)
        exchange = self.server.exchange
        exchange.desk.listeners.append(hear)
        self.server.run()
        far = (self.listing.last_price * 9 // 10) * INSTRUMENT.price_tick
        request = OrderRequest(
            INSTRUMENT.id.symbol, "BUY", "LIMIT", quantity=Decimal("0.1"), price=far,
            time_in_force="GTC", client_order_id=FOREIGN,
        )  # fmt: skip
        placed = exchange.do(PlaceOrder(OURS, request))
        assert isinstance(placed, Placed), f"the foreign order was refused: {placed}"

    @property
    def listing(self) -> Listing:
        """The symbol."""
        return self.server.exchange.desk.venue.listing(INSTRUMENT.id.symbol)

    @property
    def now(self) -> int:
        """Market time."""
        return self.server.exchange.clock.now()

    def orders(self) -> list[Order]:
        """Every order that was ever taken from the account, but the foreign one; oldest first."""
        listing = self.listing
        history = listing.history.get(OURS, ())
        return [o for o in map(listing.orders.__getitem__, history) if o.client_order_id != FOREIGN]

    def foreign(self) -> Order:
        """Somebody else's order."""
        listing = self.listing
        return listing.orders[listing.clients[OURS, FOREIGN]]

    def fills(self) -> list[Fill]:
        """Every trade of the account."""
        return self.listing.fills.get(OURS, [])

    def balance(self, asset: str) -> Decimal:
        """What the account has of an asset, free and locked."""
        there = self.server.exchange.desk.venue.account(OURS).balances.get(asset)
        return Decimal(0) if there is None else Decimal(there.free + there.locked) / UNIT

    def position(self) -> int:
        """Lots that the account holds."""
        return int(self.balance(INSTRUMENT.id.base) / INSTRUMENT.quantity_step)

    def covered(self) -> bool:
        """Whether nothing is held, or a stop rests for all of it."""
        held = self.position()
        return held == 0 or any(
            order.live and order.type == "STOP_LOSS" and order.side == "SELL"
            and order.remaining == held and order.status != "PENDING_NEW"
            for order in self.orders()[-12:]
        )  # fmt: skip
