"""Binance over HTTP, by ccxt: it signs, sends and knows symbols; what answers mean is judged here.

One client sends orders, with connections of its own and no queue before them. Another asks, and
waits where the exchange wants that (`restraint`). No request for an order is ever repeated. The
sessions speak to the hosts of `Endpoints` alone and follow no redirect, so that a signed request
does not end up elsewhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp

from vostok_core.market.instrument import Instrument
from vostok_core.trading.commands import Cancel
from vostok_core.trading.config import Capabilities
from vostok_core.trading.rules import Rules
from vostok_live.feed.http import retry_after
from vostok_live.gateway import payloads
from vostok_live.gateway.access import ApiKey, Endpoints
from vostok_live.gateway.classify import failure, refusal
from vostok_live.gateway.payloads import Unreadable
from vostok_live.gateway.port import (
    TRADES_PAGE,
    Accepted,
    Balance,
    GatewayError,
    ListReport,
    NeverSent,
    OrderReport,
    Outcome,
    Rejected,
    Sendable,
    Throttled,
    TradeReport,
    Unknown,
)
from vostok_live.gateway.restraint import Restraint
from vostok_live.gateway.slim import binance
from vostok_live.gateway.symbol import check
from vostok_live.gateway.wire import Params, request
from vostok_live.seams import Seams

Value = TypeVar("Value")

_ARCHIVED = -2026
_NO_SYMBOL = -1121
_REDIRECTS = (301, 302, 303, 307, 308)

# ccxt writes signed addresses and keys to its debug log.
_silent = logging.getLogger("vostok_live.gateway.ccxt")
_silent.setLevel(logging.WARNING)


class Unreachable(GatewayError):
    """There is no answer; another time there may be one."""


class RequestRefused(GatewayError):
    """The exchange refuses to answer a question; `rejected` says why."""

    rejected: Rejected

    @classmethod
    def of(cls, rejected: Rejected, where: str) -> Self:
        """What the exchange said."""
        error = cls(
            f"the exchange refuses: {rejected.text} ({rejected.code})",
            where=where,
            hint="check the key, its permissions and the clock of this machine",
        )
        error.rejected = rejected
        return error


class _Answer(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, body: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body
        named = {name.upper(): value for name, value in headers.items()}
        self.retry_after = retry_after({"Retry-After": named.get("RETRY-AFTER", "")}) or None

    def judge(self, signed_ms: int) -> Outcome:
        """What it says of the request."""
        code, text = payloads.error(self.body)
        if code in payloads.REPLACE_FAILED and self.status in (400, 409):
            return payloads.half_replaced(self.body, self.status, signed_ms)
        return refusal(self.status, code, text, retry_after=self.retry_after, signed_ms=signed_ms)


class _Astray(aiohttp.ClientError):
    """A request that would go to another host, or was answered with a redirect."""


class CcxtPort:
    """An account at Binance, and one symbol that it trades. It implements `port.VenuePort`.

    Args:
        instrument: What is traded.
        rules: Its ticks and lots.
        endpoints: Where the exchange is.
        key: Of the account.
        seams: Clock and connections.
        recv_window_ms: How long a request is valid after its time.
        timeout: Seconds that an answer is waited for.
        longest_wait: Seconds that a question waits for its turn; for more it is given up.

    Attributes:
        recv_window_ms: As given; what proves an order absent must know it (`resolve.Proof`).
        restraint: What the exchange lets this address ask.
        answers: How often each endpoint answered, by its path and the HTTP status.
        on_order: Called when an order goes out on the wire.
        capabilities: What the symbol allows, once `open` has asked.
    """

    def __init__(
        self,
        instrument: Instrument,
        rules: Rules,
        endpoints: Endpoints,
        key: ApiKey,
        *,
        seams: Seams,
        recv_window_ms: int = 5_000,
        timeout: float = 10.0,
        longest_wait: float = 65.0,
    ) -> None:
        self.restraint = Restraint(seams.clock)
        self.answers: Counter[tuple[str, str]] = Counter()
        self.on_order: Callable[[], None] = lambda: None
        self.capabilities = Capabilities()
        self._instrument = instrument
        self._symbol = instrument.id.symbol
        self._rules = rules
        self._endpoints = endpoints
        self._key = key
        self._seams = seams
        self.recv_window_ms = recv_window_ms
        self._timeout = timeout
        self._longest_wait = longest_wait
        self._offset_ms = 0
        self._sessions: list[aiohttp.ClientSession] = []
        self._orders: Any = None
        self._asks: Any = None

    async def open(self) -> None:
        """Read the exchange's clock and what it says of the symbol.

        Raises:
            GatewayError: It can't be reached, has no such symbol, or other ticks, lots or limits.
        """
        await self.close()  # of a try before
        self._orders, self._asks = self._client(), self._client()
        await self.server_time()
        params: Params = {"symbol": self._symbol}
        try:
            found = await self._ask("publicGetExchangeInfo", params, payloads.symbol)
        except RequestRefused as refused:
            if refused.rejected.code != _NO_SYMBOL:
                raise
            found = None
        market = None if found is None else self._asks.parse_market(found)
        self.capabilities = check(market, self._instrument, self._endpoints.rest)

    async def close(self) -> None:
        """Close the connections."""
        for client in (self._orders, self._asks):
            if client is not None:
                await client.close()
        for session in self._sessions:
            await session.close()
        self._orders = self._asks = None
        self._sessions.clear()

    @property
    def offset_ms(self) -> int:
        """The exchange's clock less ours, as it was last read."""
        return self._offset_ms

    def timestamp(self) -> int:
        """The exchange's clock as far as is known, milliseconds: the time to sign with."""
        return self._seams.clock.wall_ns() // 1_000_000 + self._offset_ms

    def sign(self, payload: str) -> str:
        """The signature of a request of the WebSocket API, by the kind of the key."""
        client, secret = self._asks, self._key.secret
        if "PRIVATE KEY" not in secret:
            signature = client.hmac(payload.encode(), secret.encode(), hashlib.sha256)
        elif len(secret) > 120:
            signature = client.rsa(payload, secret, "sha256")
        else:
            signature = client.eddsa(payload.encode(), secret, "ed25519")
        return str(signature)

    # Orders

    async def send(self, command: Sendable) -> Outcome:
        """Carry out a command, in one request that is never repeated."""
        now = asyncio.get_running_loop().time()
        held = self.restraint.held(now, orders=not isinstance(command, Cancel))
        if held > 0.0:
            return Throttled("held back: the exchange has been asked for too much", held)
        method, params = request(command, self._symbol, self._rules)
        signed_ms = self.timestamp()
        try:
            body = await getattr(self._orders, method)(self._signed(params, signed_ms))
        except _Answer as answer:
            return answer.judge(signed_ms)
        except Exception as error:  # noqa: BLE001, whatever it is, the request may have got through
            outcome = failure(error, signed_ms=signed_ms)
            if isinstance(command, Cancel) and isinstance(outcome, NeverSent):
                # aiohttp repeats a DELETE whose connection breaks: the first may have arrived.
                return Unknown(outcome.text, signed_ms)
            return outcome
        try:
            return payloads.accepted(body)
        except Unreadable as error:
            return Unknown(str(error), signed_ms)

    # Questions

    async def query_order(
        self, client_order_id: str | None = None, order_id: int | None = None
    ) -> OrderReport | None:
        """An order, by one of its names."""
        params: Params = {"symbol": self._symbol}
        if client_order_id is not None:
            params["origClientOrderId"] = client_order_id
        if order_id is not None:
            params["orderId"] = order_id
        try:
            report = await self._ask("privateGetOrder", params, payloads.order)
        except RequestRefused as refused:
            rejected = refused.rejected
            if rejected.code == _ARCHIVED and client_order_id is not None:
                # It ended long ago, and nothing of it was executed.
                ts = self._seams.clock.market()
                return OrderReport(ts, -1, client_order_id, "EXPIRED", Decimal(0), rejected.text)
            if rejected.meaning != "gone":
                raise
            return None
        # A canceled order may be shown by the name of its cancel.
        return replace(report, client_order_id=client_order_id or report.client_order_id)

    async def query_list(self, list_client_order_id: str) -> ListReport | None:
        """An order list."""
        params: Params = {"origClientOrderId": list_client_order_id}
        try:
            return await self._ask("privateGetOrderList", params, payloads.order_list)
        except RequestRefused as refused:
            if refused.rejected.meaning != "gone":
                raise
            return None

    async def open_orders(self) -> list[OrderReport]:
        """The symbol's open orders."""
        params: Params = {"symbol": self._symbol}
        return await self._ask("privateGetOpenOrders", params, payloads.orders)

    async def my_trades(
        self, from_id: int | None = None, order_id: int | None = None
    ) -> list[TradeReport]:
        """A page of the account's trades."""
        params: Params = {"symbol": self._symbol, "limit": TRADES_PAGE}
        if from_id is not None:
            params["fromId"] = from_id
        if order_id is not None:
            params["orderId"] = order_id
        return await self._ask("privateGetMyTrades", params, payloads.trades)

    async def balances(self) -> dict[str, Balance]:
        """What the account has."""
        params: Params = {"omitZeroBalances": "true"}
        return await self._ask("privateGetAccount", params, payloads.balances)

    async def permissions(self) -> Mapping[str, bool]:
        """What the key may do, by the exchange's names, such as `enableWithdrawals`."""
        return await self._ask("sapiGetAccountApiRestrictions", {}, payloads.permissions)

    async def server_time(self) -> int:
        """The exchange's clock, milliseconds; requests are signed by it from then on."""
        clock = self._seams.clock
        before = clock.wall_ns()
        shown = await self._ask("publicGetTime", {}, payloads.server_time)
        # The answer was written somewhere between the two. What fits that stays: an answer that
        # was long under way tells little, and a wrong time has orders refused.
        after = clock.wall_ns()
        least, most = shown - after // 1_000_000, shown - before // 1_000_000
        if not least <= self._offset_ms <= most:
            self._offset_ms = (least + most) // 2
        return shown

    # How it is done

    def _client(self) -> Any:
        """A client of ccxt with connections of its own, that speaks to our hosts alone."""
        session = aiohttp.ClientSession(
            connector=self._seams.connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(self._guard,),
        )
        self._sessions.append(session)
        client = binance()(
            {
                "apiKey": self._key.key,
                "secret": self._key.secret,
                "session": session,
                "enableRateLimit": False,
                "timeout": int(self._timeout * 1_000),
                "logger": _silent,
                "headers": {"X-MBX-TIME-UNIT": "MICROSECOND"},
                "options": {
                    "recvWindow": self.recv_window_ms,
                    "maxRetriesOnFailure": 0,
                    "crossMarginPairsData": [],
                    "isolatedMarginPairsData": [],
                },
            }
        )
        api = f"{self._endpoints.rest.rstrip('/')}/api/v3"
        sapi = f"{self._endpoints.rest.rstrip('/')}/sapi/v1"
        client.urls["api"] = {"public": api, "private": api, "sapi": sapi}
        client.timeout_on_exit = 0
        client.milliseconds = self.timestamp
        client.nonce = self.timestamp
        client.handle_errors = self._heard
        client.open()  # it reads certificates, for which the first order would wait
        return client

    async def _guard(
        self, outgoing: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if outgoing.url.host not in self._endpoints.hosts:
            raise _Astray(f"{outgoing.url.host} is not the exchange")
        if outgoing.method == "POST":
            self.on_order()
        response = await handler(outgoing)
        if response.status in _REDIRECTS:
            response.close()
            raise _Astray(f"redirected with {response.status}")
        return response

    def _heard(
        self,
        status: int,
        reason: str,  # noqa: ARG002, ccxt's own hook has these
        url: str,
        method: str,
        headers: Mapping[str, str],
        body: str,
        *_: object,
    ) -> None:
        """Take the place of ccxt's judgement, which is by the class of an error."""
        self.answers[f"{method} {urlsplit(url).path}", str(status)] += 1
        code = payloads.error(body)[0] if status >= 300 else None
        self.restraint.answered(status, code, headers, asyncio.get_running_loop().time())
        if status >= 300:
            raise _Answer(status, body, headers)

    def _signed(self, params: Params, signed_ms: int) -> Params:
        return {**params, "timestamp": signed_ms, "recvWindow": self.recv_window_ms}

    async def _ask(self, method: str, params: Params, read: Callable[[object], Value]) -> Value:
        """Put a question, once its turn has come; anew where the clocks had gone apart.

        Raises:
            RequestRefused: The exchange refuses it.
            GatewayError: There is no answer that can be read.
        """
        wait = self.restraint.wait(asyncio.get_running_loop().time())
        if wait > self._longest_wait:
            raise self._unanswered(method, f"the exchange wants to be left alone for {wait:.0f} s")
        if wait > 0.0:
            await asyncio.sleep(wait)
        outcome, body = await self._try(method, params)
        if isinstance(outcome, Rejected) and outcome.meaning == "clock":
            await self.server_time()
            outcome, body = await self._try(method, params)
        if isinstance(outcome, Rejected) and outcome.meaning != "clock":
            raise RequestRefused.of(outcome, self._endpoints.rest)
        if not isinstance(outcome, Accepted):
            # One that was under way for too long twice can be put again.
            raise self._unanswered(method, outcome.text)
        try:
            return read(body)
        except Unreadable as error:
            raise self._unanswered(method, str(error)) from None

    async def _try(self, method: str, params: Params) -> tuple[Outcome, object]:
        """Put a question once."""
        signed_ms = self.timestamp()
        try:
            public = method.startswith("public")
            sent = {**params} if public else self._signed(params, signed_ms)
            return Accepted(), await getattr(self._asks, method)(sent)
        except _Answer as answer:
            return answer.judge(signed_ms), None
        except Exception as error:  # noqa: BLE001, ccxt has a tree of errors of its own
            return failure(error, signed_ms=signed_ms), None

    def _unanswered(self, method: str, why: str) -> Unreachable:
        return Unreachable(
            f"no answer to {method}: {why}",
            where=self._endpoints.rest,
            hint="check the connection to the exchange, and whether it is under maintenance",
        )
