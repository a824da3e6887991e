"""A small exchange behind real sockets, whose market time stands still until a test steps it.

Two markets, ABCUSDT and XYZUSDT, opened at noon of 2025-03-31; a tick is 0.01, a lot 0.001. Account
1 has two keys, one of which may not trade; account 2 has one.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
import pytest

from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.synthetic import MarketSpec
from vostok_core.times import HOUR, MINUTE, day_start
from vostok_exchange.clock import SteppedClock
from vostok_exchange.server import Server
from vostok_exchange.settings import AccountSetup, Key, Setup
from vostok_exchange.world import Market

T = TypeVar("T")

DAY = date(2025, 3, 31)
NOON = day_start(DAY) + 12 * HOUR
KEY = Key("k" * 64, "secret")
READ_ONLY = Key("r" * 64, "another secret", trade=False)
OTHER = Key("o" * 64, "a third secret")


def market(name: str, rate: float, **changed: Any) -> Market:
    spec = MarketSpec(
        trades_per_minute=rate, start_price=100.0, mean_qty=1.0, quantity_step=0.001,
        news_per_day=200.0, **changed,
    )  # fmt: skip
    instrument = Instrument(
        InstrumentId.parse(f"demo.spot.{name}-USDT"), "agg_trade", Decimal("0.01"),
        Decimal("0.001"), Decimal(5), 10 * MINUTE,
    )  # fmt: skip
    return Market(instrument, spec)


def made(first_day: date = DAY, start: int = NOON, seed: int = 3, rate: float = 20.0) -> Setup:
    rich = {"USDT": Decimal(100_000), "BNB": Decimal(50), "ABC": Decimal(100)}
    return Setup(
        seed,
        first_day,
        start,
        (market("ABC", rate, edge=0.2), market("XYZ", rate)),
        (AccountSetup(1, (KEY, READ_ONLY), rich), AccountSetup(2, (OTHER,), rich)),
        {"USDT": Decimal(600)},
    )


@dataclass
class Reply:
    """What came back by REST."""

    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> Any:
        return self.body["code"]


class Visitor:
    """Asks an exchange by HTTP."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    @property
    def clock(self) -> Any:
        return self.server.exchange.clock

    @property
    def now(self) -> int:
        return int(self.clock.now())

    def step(self, microseconds: int) -> None:
        """Let market time go on by so much."""
        self.clock.step_to(self.now + microseconds)

    async def ask(
        self, method: str, path: str, query: str = "", body: str | None = None, **headers: str
    ) -> Reply:
        """Send a request exactly as it is written."""
        import yarl

        url = yarl.URL(f"{self.server.url}{path}{'?' if query else ''}{query}", encoded=True)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        async with self.session.request(method, url, data=body, headers=headers) as answer:
            read = {"application/json": answer.json, "application/zip": answer.read}
            content = await read.get(answer.content_type, answer.text)()
            return Reply(answer.status, content, answer.headers)

    async def get(self, path: str, **params: Any) -> Reply:
        """Ask what anybody may ask."""
        return await self.ask("GET", path, urlencode(params))

    async def signed(self, method: str, path: str, key: Key = KEY, **params: Any) -> Reply:
        """Ask as an account."""
        params.setdefault("timestamp", time.time_ns() // 1_000_000)
        query = urlencode({name: value for name, value in params.items() if value is not None})
        query += f"&signature={signature(key, query)}"
        if method in {"GET", "DELETE"}:
            return await self.ask(method, path, query, X_MBX_APIKEY=key.key)
        return await self.ask(method, path, "", query, X_MBX_APIKEY=key.key)

    async def order(self, side: str, kind: str, key: Key = KEY, **params: Any) -> Reply:
        """Place an order in ABCUSDT."""
        if kind in {"LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"}:
            params.setdefault("timeInForce", "GTC")
        return await self.signed(
            "POST", "/api/v3/order", key, symbol="ABCUSDT", side=side, type=kind, **params
        )

    async def price(self, times: float = 1.0) -> str:
        """The last price of ABCUSDT, or a multiple of it, on the grid."""
        reply = await self.get("/api/v3/ticker/price", symbol="ABCUSDT")
        return f"{float(reply.body['price']) * times:.2f}"


def signature(key: Key, payload: str) -> str:
    return hmac.new(key.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


Scenario = Callable[[Visitor], Awaitable[T]]
Play = Callable[..., Any]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Runs a scenario against an exchange of its own."""

    def run(scenario: Scenario[T], **options: Any) -> T:
        async def main() -> T:
            options.setdefault("setup", made())
            options.setdefault("clock", SteppedClock)
            folder = options.pop("folder", tmp_path / "exchange")
            async with (
                Server(folder, **options) as server,
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
            ):
                return await scenario(Visitor(server, session))

        return asyncio.run(asyncio.wait_for(main(), 60))

    return run


@pytest.fixture
def setup_of() -> Callable[..., Setup]:
    """How an exchange is set up: `setup_of(first_day, start, seed, rate)`."""
    return made


@pytest.fixture
def keys() -> tuple[Key, Key, Key]:
    """The key of account 1, its key that may not trade, and the key of account 2."""
    return KEY, READ_ONLY, OTHER


@pytest.fixture
def sign() -> Callable[[Key, str], str]:
    """The signature of a payload by a key."""
    return signature
