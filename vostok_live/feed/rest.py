"""What the streams lack, asked for by REST: trades by id, klines of the past, a symbol's rules.

Source: binance-spot-api-docs, rest-api.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from msgspec import Raw, Struct

from vostok_core.market.instrument import Instrument
from vostok_core.market.ticks import LastTick
from vostok_core.times import utc
from vostok_live.feed.continuity import PAGE
from vostok_live.feed.events import DepthSnapshot, Kline, Tick
from vostok_live.feed.http import Asker, FeedError, Refusal
from vostok_live.feed.parse import (
    AggTrade,
    depth_snapshot,
    kline_end,
    microseconds,
    not_negative,
    positive,
)
from vostok_live.seams import Clock

_NO_SYMBOL = -1121
_LOOKS = 3  # for the first trade, which may happen while it is looked for


class _Trade(Struct, gc=False):
    id: int
    price: float
    qty: float
    time: int
    isBuyerMaker: bool  # noqa: N815

    def tick(self, symbol: str, seen: int) -> Tick:
        price, qty, ts = positive(self.price), positive(self.qty), microseconds(self.time)
        return Tick(symbol, self.id, ts, price, qty, self.isBuyerMaker, -1, -1, -1, seen)


class _Row(Struct, gc=False, array_like=True):
    opened: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closes: int
    quote_volume: float
    trades: int
    buy_volume: float

    def kline(self, symbol: str, interval: str) -> Kline:
        return Kline(
            symbol,
            interval,
            kline_end(self.opened, self.closes),
            positive(self.open),
            positive(self.high),
            positive(self.low),
            positive(self.close),
            not_negative(self.volume),
            not_negative(self.quote_volume),
            self.trades,
            not_negative(self.buy_volume),
            closed=True,
        )


class _Limit(Struct):
    rateLimitType: str  # noqa: N815
    interval: str
    intervalNum: int  # noqa: N815
    limit: int


class _Symbol(Struct):
    symbol: str
    status: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    orderTypes: tuple[str, ...]  # noqa: N815
    filters: list[dict[str, Any]]
    ocoAllowed: bool = False  # noqa: N815
    otoAllowed: bool = False  # noqa: N815
    cancelReplaceAllowed: bool = False  # noqa: N815


class _Info(Struct):
    symbols: list[_Symbol]
    rateLimits: list[_Limit] = []  # noqa: N815


_agg_trades = msgspec.json.Decoder(list[AggTrade], strict=False)
_trades = msgspec.json.Decoder(list[_Trade], strict=False)
_rows = msgspec.json.Decoder(list[_Row], strict=False)
_info = msgspec.json.Decoder(_Info)


def trades_of(body: bytes | Raw, symbol: str, *, aggregate: bool, seen: int) -> list[Tick]:
    """The trades of an answer.

    Args:
        body: The answer.
        symbol: Whose trades they are; it doesn't say.
        aggregate: Whether they are aggregate trades.
        seen: When it came, wall time in microseconds.

    Raises:
        msgspec.MsgspecError: It holds none.
        Impossible: One of them can't be.
    """
    if aggregate:
        return [trade.tick(symbol, seen) for trade in _agg_trades.decode(body)]
    return [trade.tick(symbol, seen) for trade in _trades.decode(body)]


@dataclass(frozen=True)
class SymbolRules:
    """What the exchange says of a symbol.

    Attributes:
        symbol: The exchange's symbol.
        status: `TRADING`, or why it is not.
        base: Asset that is traded.
        quote: Asset that it is paid in.
        order_types: Kinds of order that are taken.
        oco_allowed: Whether two orders may be placed of which one cancels the other.
        oto_allowed: Whether an order may be placed that waits for another to be filled.
        cancel_replace_allowed: Whether an order may be replaced in one request.
        price_tick: Smallest price step.
        quantity_step: Smallest quantity step.
        min_notional: Least worth of an order, in quote; 0 where there is no such rule.
        filters: Every filter, by its type, as the exchange writes it.
    """

    symbol: str
    status: str
    base: str
    quote: str
    order_types: tuple[str, ...]
    oco_allowed: bool
    oto_allowed: bool
    cancel_replace_allowed: bool
    price_tick: Decimal
    quantity_step: Decimal
    min_notional: Decimal
    filters: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where to begin with an instrument's trades.

    Attributes:
        next_id: Id of the first trade that counts.
        previous: The trade before it, if there is one.
    """

    next_id: int
    previous: LastTick | None


class MarketRest:
    """The public endpoints of an exchange, for one instrument.

    Args:
        asker: Asks the exchange.
        instrument: Its symbol, and what a tick of it is.
        clock: Says when an answer came.
    """

    def __init__(self, asker: Asker, instrument: Instrument, clock: Clock) -> None:
        self._asker = asker
        self._symbol = instrument.id.symbol
        self._aggregate = instrument.tick == "agg_trade"
        self._clock = clock

    async def ticks(self, from_id: int, limit: int = PAGE) -> list[Tick]:
        """Trades from an id on, in order of ids.

        Args:
            from_id: Id of the first.
            limit: How many at most, up to 1,000.

        Raises:
            FeedError: They can't be had.
        """
        return (await self.raw_ticks(from_id, limit))[1]

    async def raw_ticks(self, from_id: int, limit: int = PAGE) -> tuple[bytes, list[Tick]]:
        """Trades from an id on, as the exchange wrote them and as values.

        Args and raises: as `ticks`.
        """
        path = "/api/v3/aggTrades" if self._aggregate else "/api/v3/historicalTrades"
        params: dict[str, str | int] = {"symbol": self._symbol, "fromId": from_id, "limit": limit}

        def read(body: bytes) -> tuple[bytes, list[Tick]]:
            seen = self._clock.wall_ns() // 1_000
            return body, trades_of(body, self._symbol, aggregate=self._aggregate, seen=seen)

        return await self._asker.get(path, params, read)

    async def raw_depth(self, limit: int) -> tuple[bytes, DepthSnapshot]:
        """The best levels of the book, as the exchange wrote them and as a value.

        Args:
            limit: How many of each side, up to 5,000.

        Raises:
            FeedError: They can't be had.
        """
        params: dict[str, str | int] = {"symbol": self._symbol, "limit": limit}

        def read(body: bytes) -> tuple[bytes, DepthSnapshot]:
            return body, depth_snapshot(body, self._clock.wall_ns() // 1_000)

        return await self._asker.get("/api/v3/depth", params, read)

    async def beginning(self, ts: int) -> Beginning:
        """The first trade at or after a time, and the one before it.

        Args:
            ts: Microseconds, of whole milliseconds.

        Raises:
            FeedError: They can't be had.
        """
        next_id = await self._first_id(ts)
        before = await self.ticks(next_id - 1, 1) if next_id > 0 else []
        if not before or before[0].trade_id != next_id - 1:
            return Beginning(next_id, None)
        tick = before[0]
        beneath = tick.last_id if tick.last_id >= 0 else None
        side = -1 if tick.buyer_maker else 1
        return Beginning(next_id, LastTick(tick.trade_id, tick.ts, tick.price, side, beneath))

    async def _first_id(self, ts: int) -> int:
        """Id of the first trade at or after a time, or of the one that will be the next."""
        for _ in range(_LOOKS):
            found = await self._agg_trades(startTime=ts // 1_000, limit=1)
            if found:
                return found[0].trade_id if self._aggregate else found[0].first_id
            newest = await self._agg_trades(limit=1)
            if not newest:
                # Ids need not begin with 0, and one that never comes would be waited for.
                raise FeedError(
                    f"{self._symbol} has never been traded",
                    where=self._asker.url,
                    hint="bars begin with its first trade",
                )
            if newest[-1].ts < ts:
                return 1 + (newest[-1].trade_id if self._aggregate else newest[-1].last_id)
        raise FeedError(
            f"the exchange shows no trade of {self._symbol} since {utc(ts)}, and newer ones",
            where=self._asker.url,
            hint="try again later: its servers don't agree with each other",
        )

    async def klines(self, interval: str, start: int, end: int) -> list[Kline]:
        """The exchange's bars of a span that has passed, in order of time.

        Args:
            interval: Their length, as the exchange writes it.
            start: Start of the first, microseconds.
            end: End of the last.

        Raises:
            FeedError: They can't be had.
        """

        def read(body: bytes) -> list[Kline]:
            return [row.kline(self._symbol, interval) for row in _rows.decode(body)]

        found: list[Kline] = []
        while start < end:
            params: dict[str, str | int] = {
                "symbol": self._symbol,
                "interval": interval,
                "startTime": start // 1_000,
                "endTime": end // 1_000 - 1,
                "limit": PAGE,
            }
            page = await self._asker.get("/api/v3/klines", params, read)
            found += [kline for kline in page if start < kline.ts <= end]
            if len(page) < PAGE or page[-1].ts <= start:
                break
            start = page[-1].ts
        return found

    async def rules(self) -> SymbolRules:
        """What the exchange says of the symbol now.

        Raises:
            FeedError: It can't be had, or not understood.
        """
        params = {"symbol": self._symbol}
        info = await self._asker.get("/api/v3/exchangeInfo", params, _info.decode)
        for limit in info.rateLimits:
            if limit.rateLimitType == "REQUEST_WEIGHT" and limit.interval == "MINUTE":
                self._asker.weight_limit = limit.limit // max(limit.intervalNum, 1)
        found = next((each for each in info.symbols if each.symbol == self._symbol), None)
        if found is None:
            raise FeedError(
                f"the exchange has no symbol {self._symbol}",
                where=self._asker.url,
                hint="check the instrument's name in vostok.toml",
            )
        filters = {str(each.get("filterType")): each for each in found.filters}
        notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {"minNotional": "0"}
        try:
            return SymbolRules(
                symbol=found.symbol,
                status=found.status,
                base=found.baseAsset,
                quote=found.quoteAsset,
                order_types=found.orderTypes,
                oco_allowed=found.ocoAllowed,
                oto_allowed=found.otoAllowed,
                cancel_replace_allowed=found.cancelReplaceAllowed,
                price_tick=Decimal(filters["PRICE_FILTER"]["tickSize"]),
                quantity_step=Decimal(filters["LOT_SIZE"]["stepSize"]),
                min_notional=Decimal(notional["minNotional"]),
                filters=filters,
            )
        except (KeyError, TypeError, InvalidOperation) as error:
            raise FeedError(
                f"the filters of {self._symbol} can't be understood ({error!r})",
                where=self._asker.url,
                hint="compare GET /api/v3/exchangeInfo with the exchange's documentation",
            ) from None

    async def _agg_trades(self, **params: int) -> list[Tick]:
        def read(body: bytes) -> list[Tick]:
            seen = self._clock.wall_ns() // 1_000
            return trades_of(body, self._symbol, aggregate=True, seen=seen)

        query: dict[str, str | int] = {"symbol": self._symbol, **params}
        return await self._asker.get("/api/v3/aggTrades", query, read)


class _Price(Struct):
    price: Decimal


_price = msgspec.json.Decoder(_Price, strict=False)


async def asset_price(asker: Asker, asset: str, quote: str) -> Decimal | None:
    """What one of an asset is worth in another; None where the exchange doesn't trade them.

    Raises:
        FeedError: It can't be had.
    """
    try:
        found = await asker.get(
            "/api/v3/ticker/price", {"symbol": f"{asset}{quote}"}, _price.decode
        )
    except Refusal as refusal:
        if refusal.code == _NO_SYMBOL:
            return None
        raise
    return found.price
