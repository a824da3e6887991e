"""Questions of the pagers as calls of ccxt, and its answers as trades."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from vostok_core.errors import UsageError
from vostok_core.market.instrument import Instrument
from vostok_core.times import MILLISECOND, SECOND
from vostok_pipelines.rest.client import Client
from vostok_pipelines.rest.paging import Ask, AskIds, AskTime
from vostok_pipelines.rest.trades import Trade, Unusable, checked
from vostok_pipelines.rest.venues import Venue
from vostok_pipelines.sources.frames import UNITS, unit_of


class Door(Protocol):
    """Shows the trades of one instrument.

    Attributes:
        page: How many trades a page holds at most.
    """

    page: int

    async def open(self) -> None:
        """Find the instrument.

        Raises:
            FetchError: It can't be found.
        """
        ...

    async def trades(self, ask: Ask) -> Sequence[Trade]:
        """A page, as the exchange shows it.

        Raises:
            FetchError: There is no answer.
        """
        ...

    async def first_id(self, ts: int) -> int | None:
        """Id of the first trade at or after a time; None where there is none."""
        ...


def door(client: Client, venue: Venue, instrument: Instrument) -> Door:
    """The door to an instrument's trades."""
    if venue.by_ids:
        return BinanceDoor(client, instrument)
    return UnifiedDoor(client, venue, instrument)


_MARKETS = {"spot": ("public", 1_000, 6_000), "usdm": ("fapiPublic", 500, 2_400)}
"""A market of Binance's -> its part of ccxt's names, single trades on a page, weight a minute."""


class BinanceDoor:
    """Binance's trades, by their ids: aggregate or single ones, as the instrument's ticks are."""

    def __init__(self, client: Client, instrument: Instrument) -> None:
        market = _MARKETS.get(instrument.id.market)
        if market is None:
            raise UsageError(
                f"trades of {instrument.id} can't be fetched by REST",
                hint=f"markets that can be: {', '.join(_MARKETS)}",
            )
        self._aggregate = instrument.tick == "agg_trade"
        self._part, most, self._weight = market
        self._client = client
        self._symbol = instrument.id.symbol
        self.page = 1_000 if self._aggregate else most

    async def open(self) -> None:
        """Have microseconds where there are any, and single trades without a key."""
        ccxt = self._client.ccxt
        ccxt.headers = {**(ccxt.headers or {}), "X-MBX-TIME-UNIT": "MICROSECOND"}
        sign = ccxt.sign

        def signed(path: str, *rest: Any, **named: Any) -> Any:
            # ccxt wants a key for it, which the spot market doesn't.
            if path != "historicalTrades":
                return sign(path, *rest, **named)
            request = sign("trades", *rest, **named)
            return {**request, "url": request["url"].replace("/trades", "/historicalTrades", 1)}

        ccxt.sign = signed
        self._client.weight = self._weight

    async def trades(self, ask: Ask) -> Sequence[Trade]:
        """A page of trades from an id on."""
        assert isinstance(ask, AskIds), "Binance is asked by ids"
        params = {"symbol": self._symbol, "fromId": ask.from_id, "limit": ask.limit}
        return await self._ask(params, aggregate=self._aggregate)

    async def first_id(self, ts: int) -> int | None:
        """Id of the first trade at or after a time."""
        since = -(-ts // MILLISECOND)
        params = {"symbol": self._symbol, "startTime": since, "limit": 1}
        found = await self._ask(params, aggregate=True, since=since * MILLISECOND)
        if not found:
            return None
        return found[0].id if self._aggregate else found[0].first_id

    async def _ask(
        self, params: Mapping[str, Any], *, aggregate: bool, since: int = 0
    ) -> Sequence[Trade]:
        method = f"{self._part}Get{'AggTrades' if aggregate else 'HistoricalTrades'}"
        reader = _agg_trade if aggregate else _single_trade

        def read(answer: Any) -> Sequence[Trade]:
            rows = _rows(answer, reader)
            if any(row.ts < since for row in rows):
                raise Unusable("a trade from before the time that was asked for")
            return rows

        return await self._client.ask(lambda ccxt: getattr(ccxt, method)(dict(params)), read)


def _agg_trade(row: Mapping[str, Any]) -> Trade:
    return Trade(
        int(row["a"]),
        _microseconds(int(row["T"])),
        float(row["p"]),
        float(row["q"]),
        _flag(row["m"]),
        int(row["f"]),
        int(row["l"]),
        row.get("M"),
    )


def _single_trade(row: Mapping[str, Any]) -> Trade:
    return Trade(
        int(row["id"]),
        _microseconds(int(row["time"])),
        float(row["price"]),
        float(row["qty"]),
        _flag(row["isBuyerMaker"]),
        best_match=row.get("isBestMatch"),
    )


class UnifiedDoor:
    """Any exchange's trades, by their times, through ccxt's `fetch_trades`."""

    def __init__(self, client: Client, venue: Venue, instrument: Instrument) -> None:
        self.page = venue.page
        self._client = client
        self._venue = venue
        self._instrument = instrument
        self._symbol = ""
        self._read, self._asked = _MANNERS.get(venue.exchange, (_trade, _since))

    async def open(self) -> None:
        """Find the symbol among the exchange's markets."""
        name = self._instrument.id
        symbol = f"{name.base}/{name.quote}"
        self._symbol = symbol if name.market == "spot" else f"{symbol}:{name.quote}"
        markets = await self._client.ask(lambda ccxt: ccxt.load_markets(), _markets)
        if self._symbol not in markets:
            raise UsageError(
                f"{self._venue.exchange} has no market {self._symbol}",
                hint=f"check the name of {name} in vostok.toml",
            )

    async def trades(self, ask: Ask) -> Sequence[Trade]:
        """A page of trades from a time on."""
        assert isinstance(ask, AskTime), "by ids only Binance is asked"
        since, limit, params = self._asked(ask)
        return await self._client.ask(
            lambda ccxt: ccxt.fetch_trades(self._symbol, since, limit, params),
            lambda answer: _rows(answer, self._read),
        )

    async def first_id(self, ts: int) -> int | None:  # noqa: ARG002
        """There are no ids to go by."""
        raise AssertionError("trades by times are not asked for by ids")


def _since(ask: AskTime) -> tuple[int | None, int | None, dict[str, Any]]:
    until = {} if ask.until is None else {"until": ask.until // MILLISECOND}
    return ask.since // MILLISECOND, ask.limit, until


def _trade(row: Mapping[str, Any]) -> Trade:
    key, side = row["id"], row["side"]
    if side not in ("buy", "sell"):
        raise Unusable("a trade whose taker's side isn't told")
    ts = int(row["timestamp"]) * MILLISECOND
    number = int(key) if key is not None and str(key).isdecimal() else None
    return Trade(number, ts, float(row["price"]), float(row["amount"]), side == "sell")


def _since_kraken(ask: AskTime) -> tuple[int | None, int | None, dict[str, Any]]:
    # ccxt would ask for whole seconds; and of a page it would keep the newest `limit`.
    return None, None, {"since": str(ask.since * 1_000), "count": ask.limit}


def _trade_kraken(row: Mapping[str, Any]) -> Trade:
    # Past the ids ccxt hangs the time of the page's last trade, which then looks like an id.
    price, qty, seconds, side, _, _, key = row["info"][:7]
    if side not in ("b", "s") or not isinstance(key, int):
        raise Unusable("a trade without a side or an id")
    # Half up, as times in files are read.
    return Trade(key, int(seconds * SECOND + 0.5), float(price), float(qty), side == "s")


_Reader = Callable[[Mapping[str, Any]], Trade]
_Asked = Callable[[AskTime], tuple[int | None, int | None, dict[str, Any]]]
_MANNERS: dict[str, tuple[_Reader, _Asked]] = {"kraken": (_trade_kraken, _since_kraken)}
"""Exchanges whose times are finer than ccxt's milliseconds."""


def _rows(answer: Any, read: _Reader) -> Sequence[Trade]:
    if not isinstance(answer, list):
        raise Unusable(f"an answer that is no list of trades ({str(answer)[:60]!r})")
    try:
        return checked([read(row) for row in answer])
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise Unusable(f"a trade that doesn't read ({error!r})") from None


def _markets(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, dict) or not answer:
        raise Unusable("an answer without markets")
    return answer


def _microseconds(value: int) -> int:
    """A time in milli- or microseconds: the futures market doesn't know the header."""
    unit = unit_of(value)
    if unit not in ("milliseconds", "microseconds"):
        raise ValueError(f"{value} is no time")
    return value * (SECOND // UNITS[unit])


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")  # noqa: TRY004, the answer's
    return value
