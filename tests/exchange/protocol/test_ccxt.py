"""ccxt and ccxt.pro, unmodified but for their addresses, trade on the exchange."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import ccxt.pro
import pytest

from vostok_core.times import MINUTE, SECOND
from vostok_exchange.commands import Deposit
from vostok_exchange.protocol.faults import Fault
from vostok_exchange.protocol.limits import Limit, Policy
from vostok_exchange.server import Server

ABC = "ABC/USDT"
WALL = 1_760_000_000 * 10**9  # stands still where no window may end
DOCS = Path(__file__).parents[3] / "docs" / "exchange.md"


def documented() -> Callable[[Any, str], Any]:
    """The function that the documentation points a client with."""
    (source,) = re.findall(r"```python\n(def point.*?)```", DOCS.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)
    return names["point"]


@asynccontextmanager
async def pointed(url: str, key: Any, **config: Any) -> AsyncIterator[Any]:
    """A client of ccxt.pro, which can all that ccxt can."""
    config = {"apiKey": key.key, "secret": key.secret, "enableRateLimit": False, **config}
    client = documented()(ccxt.pro.binance(config), url)
    try:
        yield client
    finally:
        await client.close()


def code_of(client: Any) -> int:
    """Binance's code in the last answer."""
    return int(json.loads(client.last_http_response)["code"])


async def raises(awaitable: Awaitable[Any]) -> Exception | None:
    try:
        await awaitable
    except ccxt.BaseError as error:
        return error
    return None


def test_rest_has_all_that_ccxt_asks(play: Any, keys: Any) -> None:
    async def scenario(visitor: Any) -> None:
        async with pointed(visitor.server.url, keys[0]) as client:
            markets = await client.load_markets()
            assert list(markets) == [ABC, "XYZ/USDT"]
            market = markets[ABC]
            assert (market["active"], market["spot"], market["margin"]) == (True, True, False)
            cost = {name: market["limits"]["cost"][name] for name in ("min", "max")}
            precision = {name: market["precision"][name] for name in ("amount", "price")}
            assert precision | cost == {
                "amount": 0.001, "price": 0.01, "min": 5.0, "max": 9_000_000.0,
            }  # fmt: skip
            assert (await client.fetch_status())["status"] == "ok"
            assert abs(await client.fetch_time() - client.milliseconds()) < 10_000
            currencies = await client.fetch_currencies()
            assert {"ABC", "XYZ", "USDT", "BNB"} == currencies.keys()
            fees = await client.fetch_trading_fees()
            assert {fee["taker"] for fee in fees.values()} == {0.001}

            visitor.step(2 * MINUTE)
            ticker = await client.fetch_ticker(ABC)
            assert ticker["bid"] < ticker["ask"]
            assert ticker["timestamp"] == visitor.now // 1_000, "markets tell market time"
            assert (await client.fetch_tickers())[ABC]["last"] == ticker["last"]
            best = (await client.fetch_bids_asks([ABC]))[ABC]
            book = await client.fetch_order_book(ABC)
            assert book["bids"][0] == [best["bid"], best["bidVolume"]]
            assert book["asks"][0] == [best["ask"], best["askVolume"]]
            last = (await client.fetch_last_prices([ABC]))[ABC]
            assert last["price"] == ticker["last"]

            trades = await client.fetch_trades(ABC, limit=50)
            assert len(trades) == 50
            since = await client.fetch_trades(ABC, since=trades[10]["timestamp"], limit=5)
            assert [each["id"] for each in since] == [each["id"] for each in trades[10:15]]
            bars = await client.fetch_ohlcv(ABC, "1m", limit=3)
            assert [bar[0] for bar in bars] == [
                (visitor.now // MINUTE - back) * 60_000 for back in (2, 1, 0)
            ]
            of_last = [each for each in trades if each["timestamp"] >= bars[1][0]]
            minute = [each for each in of_last if each["timestamp"] < bars[2][0]]
            assert bars[1][1:5] == [
                minute[0]["price"],
                max(each["price"] for each in minute),
                min(each["price"] for each in minute),
                minute[-1]["price"],
            ]
            assert bars[1][5] == pytest.approx(sum(each["amount"] for each in minute))

    play(scenario)


def test_ccxt_trades(play: Any, keys: Any) -> None:
    async def scenario(visitor: Any) -> None:
        async with pointed(visitor.server.url, keys[0]) as client:
            await client.load_markets()
            price = (await client.fetch_ticker(ABC))["last"]
            before = await client.fetch_balance()
            assert (before["USDT"]["free"], before["ABC"]["free"]) == (100_000, 100)

            bought = await client.create_order(
                ABC, "market", "buy", 2, None, {"clientOrderId": "vl1-1-e"}
            )
            assert (bought["status"], bought["filled"]) == ("closed", 2)
            assert bought["clientOrderId"] == "vl1-1-e"
            assert bought["fees"][0]["currency"] == "BNB"
            assert bought["timestamp"] == visitor.now // 1_000
            after = await client.fetch_balance()
            assert after["USDT"]["free"] == pytest.approx(100_000 - bought["cost"])
            assert after["ABC"]["free"] == 102
            assert after["BNB"]["free"] == pytest.approx(50 - bought["fees"][0]["cost"])
            spent = await client.create_market_buy_order_with_cost(ABC, 60)
            assert 59 < spent["cost"] <= 60

            limit = await client.create_order(ABC, "limit", "buy", 1, price * 0.9)
            stop = await client.create_order(
                ABC, "market", "sell", 1, None, {"stopLossPrice": price * 0.5}
            )
            bracket = await client.create_order(
                ABC, "limit", "sell", 1, price * 0.6, {"stopLossPrice": price * 0.61}
            )
            profit = await client.create_order(
                ABC, "limit", "sell", 1, price * 1.4, {"takeProfitPrice": price * 1.4}
            )
            maker = await client.create_order(
                ABC, "limit", "sell", 1, price * 1.4, {"postOnly": True}
            )
            kinds = [each["info"]["type"] for each in (limit, stop, bracket, profit, maker)]
            assert kinds == [
                "LIMIT", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT", "LIMIT_MAKER",
            ]  # fmt: skip
            made = (limit, stop, bracket, profit, maker)
            ids = [each["id"] for each in made]
            assert [each["id"] for each in await client.fetch_open_orders(ABC)] == ids
            hasty = await client.create_order(
                ABC, "limit", "buy", 1, price * 0.9, {"timeInForce": "IOC"}
            )
            assert (hasty["status"], hasty["filled"]) == ("expired", 0)
            checked = await client.create_order(ABC, "limit", "buy", 1, price, {"test": True})
            assert checked["id"] is None

            by_name = {"clientOrderId": limit["clientOrderId"]}
            found = await client.fetch_order(None, ABC, by_name)
            assert (found["id"], found["status"]) == (limit["id"], "open")
            edited = await client.edit_order(limit["id"], ABC, "limit", "buy", 1.5, price * 0.88)
            assert (edited["amount"], edited["status"]) == (1.5, "open")
            assert (await client.fetch_order(limit["id"], ABC))["status"] == "canceled"
            gone = await client.cancel_order(stop["id"], ABC)
            assert (gone["id"], gone["status"]) == (stop["id"], "canceled")
            await client.cancel_order(None, ABC, {"clientOrderId": bracket["clientOrderId"]})
            rest = {each["id"] for each in await client.cancel_all_orders(ABC)}
            assert rest == {profit["id"], maker["id"], edited["id"]}
            assert await client.fetch_open_orders(ABC) == []

            mine = await client.fetch_my_trades(ABC)
            assert {each["order"] for each in mine} == {bought["id"], spent["id"]}
            later = await client.fetch_my_trades(ABC, params={"fromId": mine[-1]["id"]})
            assert [each["id"] for each in later] == [mine[-1]["id"]]
            of_one = await client.fetch_order_trades(bought["id"], ABC)
            assert sum(each["amount"] for each in of_one) == 2
            every = await client.fetch_orders(ABC)
            assert [each["status"] for each in every].count("canceled") == 6
            closed = await client.fetch_closed_orders(ABC)
            assert {each["id"] for each in closed} == {bought["id"], spent["id"]}
            may = await client.sapi_get_account_apirestrictions()
            assert (may["enableSpotAndMarginTrading"], may["enableWithdrawals"]) == (True, False)

    play(scenario)


def test_ccxt_places_lists_by_their_paths(play: Any, keys: Any) -> None:
    async def scenario(visitor: Any) -> None:
        async with pointed(visitor.server.url, keys[0]) as client:
            await client.load_markets()
            price = (await client.fetch_ticker(ABC))["last"]

            def at(times: float) -> str:
                return str(client.price_to_precision(ABC, price * times))

            exits = {
                "AboveType": "LIMIT_MAKER", "AbovePrice": at(1.2),
                "BelowType": "STOP_LOSS", "BelowStopPrice": at(0.8),
            }  # fmt: skip
            oco = await client.private_post_orderlist_oco(
                {"symbol": "ABCUSDT", "side": "SELL", "quantity": "1", "listClientOrderId": "pair"}
                | {f"{name[0].lower()}{name[1:]}": value for name, value in exits.items()}
            )
            assert (oco["contingencyType"], len(oco["orderReports"])) == ("OCO", 2)
            entry = {
                "symbol": "ABCUSDT", "workingType": "LIMIT", "workingSide": "BUY",
                "workingPrice": at(1.01), "workingQuantity": "1", "workingTimeInForce": "IOC",
                "pendingSide": "SELL", "pendingQuantity": "1",
            }  # fmt: skip
            otoco = await client.private_post_orderlist_otoco(
                entry | {f"pending{name}": value for name, value in exits.items()}
            )
            states = sorted((one["type"], one["status"]) for one in otoco["orderReports"])
            assert states == [
                ("LIMIT", "FILLED"), ("LIMIT_MAKER", "PENDING_NEW"), ("STOP_LOSS", "PENDING_NEW"),
            ]  # fmt: skip
            oto = await client.private_post_orderlist_oto(entry | {"pendingType": "MARKET"})
            assert oto["contingencyType"] == "OTO"

            opened = await client.private_get_openorderlist()
            wanted = {oco["orderListId"], otoco["orderListId"]}
            assert {one["orderListId"] for one in opened} == wanted
            assert len(await client.fetch_open_orders(ABC)) == 4
            ended = await client.private_delete_orderlist(
                {"symbol": "ABCUSDT", "listClientOrderId": "pair"}
            )
            assert ended["listOrderStatus"] == "ALL_DONE"
            asked = await client.private_get_orderlist({"orderListId": otoco["orderListId"]})
            assert asked["listOrderStatus"] == "EXECUTING"
            stop = next(one for one in otoco["orderReports"] if one["type"] == "STOP_LOSS")
            await client.cancel_order(stop["orderId"], ABC)  # either leg takes the other along
            assert await client.fetch_open_orders(ABC) == []
            assert len(await client.private_get_allorderlist()) == 3

    play(scenario)


ORDER = {"symbol": "ABCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
LIMIT = {**ORDER, "quantity": "1", "price": "90"}
STOP = {"symbol": "ABCUSDT", "side": "SELL", "quantity": "1", "type": "STOP_LOSS"}

REFUSED: list[tuple[str, dict[str, Any], int, type[Exception]]] = [
    ("private_post_order", LIMIT | {"quantity": "0.0005"}, -1013, ccxt.InvalidOrder),
    ("private_post_order", LIMIT | {"price": "90.005"}, -1013, ccxt.InvalidOrder),
    ("private_post_order", LIMIT | {"price": "2"}, -1013, ccxt.InvalidOrder),
    ("private_post_order", LIMIT | {"quantity": "0.01"}, -1013, ccxt.BadRequest),
    ("private_post_order", LIMIT | {"quantity": "1e3"}, -1100, ccxt.BadRequest),
    ("public_get_time", {"a": "1"}, -1101, ccxt.BadRequest),
    ("private_post_order", ORDER | {"quantity": "1"}, -1102, ccxt.BadRequest),
    ("public_get_avgprice", {"symbol": "ABCUSDT", "a": "1"}, -1104, ccxt.BadRequest),
    ("public_get_avgprice", {"symbol": ""}, -1105, ccxt.BadRequest),
    ("private_post_order", LIMIT | {"stopPrice": "1"}, -1106, ccxt.BadRequest),
    ("private_post_order", LIMIT | {"price": "90.123456789"}, -1111, ccxt.BadRequest),
    ("private_post_order", LIMIT | {"timeInForce": "GTX"}, -1115, ccxt.BadRequest),
    ("private_post_order", LIMIT | {"type": "ICEBERG"}, -1116, ccxt.BadRequest),
    ("private_post_order", LIMIT | {"side": "HOLD"}, -1117, ccxt.BadRequest),
    ("public_get_klines", {"symbol": "ABCUSDT", "interval": "7m"}, -1120, ccxt.BadRequest),
    ("public_get_aggtrades", {"symbol": "ABCUSDT", "fromId": "9" * 20}, -1108, ccxt.BadSymbol),
    ("public_get_depth", {"symbol": "NOPE"}, -1121, ccxt.BadSymbol),
    (
        "private_get_allorders",
        {"symbol": "ABCUSDT", "startTime": 1, "endTime": 90_000_000},
        -1127,
        ccxt.BadRequest,
    ),
    (
        "public_get_aggtrades",
        {"symbol": "ABCUSDT", "fromId": 1, "startTime": 1},
        -1128,
        ccxt.BadRequest,
    ),
    ("public_get_depth", {"symbol": "ABCUSDT", "limit": 0}, -1130, ccxt.BadRequest),
    ("private_post_order", LIMIT | {"quantity": "1500"}, -2010, ccxt.InsufficientFunds),
    (
        "private_post_order",
        {"symbol": "ABCUSDT", "side": "BUY", "quantity": "1", "type": "LIMIT_MAKER"}
        | {"price": "130"},
        -2010,
        ccxt.OrderImmediatelyFillable,
    ),
    ("private_post_order", STOP | {"stopPrice": "180"}, -2010, ccxt.OrderImmediatelyFillable),
    ("private_post_order", LIMIT | {"newClientOrderId": "twice"}, -2010, ccxt.InvalidOrder),
    ("private_delete_order", {"symbol": "ABCUSDT", "orderId": 999}, -2011, ccxt.OrderNotFound),
    ("private_get_order", {"symbol": "ABCUSDT", "orderId": 999}, -2013, ccxt.OrderNotFound),
]


def test_ccxt_knows_what_is_refused(play: Any, keys: Any) -> None:
    async def scenario(visitor: Any) -> None:
        async with pointed(visitor.server.url, keys[0]) as client:
            await client.load_markets()
            await client.private_post_order(LIMIT | {"newClientOrderId": "twice"})
            for method, params, code, kind in REFUSED:
                error = await raises(getattr(client, method)(dict(params)))
                case = f"{method} {params}"
                assert type(error) is kind, f"{case}: {error!r}"
                assert code_of(client) == code, f"{case}: {error}"

    play(scenario)


def test_ccxt_knows_who_is_turned_away(play: Any, keys: Any) -> None:
    key, read_only, _ = keys
    wrong = type(key)

    async def scenario(visitor: Any) -> None:
        cases = (
            (key, {"recvWindow": 60_001}, -1131, ccxt.ExchangeError),
            (key, {"timestamp": 1}, -1021, ccxt.InvalidNonce),
            (key, {"timestamp": 10**13}, -1021, ccxt.InvalidNonce),
            (wrong(key.key, "not it"), {}, -1022, ccxt.AuthenticationError),
            (wrong("short", "not it"), {}, -2014, ccxt.AuthenticationError),
            (wrong("z" * 64, "not it"), {}, -2015, ccxt.AuthenticationError),
            (read_only, {}, -2015, ccxt.AuthenticationError),
        )
        async with pointed(visitor.server.url, key) as client:
            for who, params, code, kind in cases:
                client.apiKey, client.secret = who.key, who.secret
                error = await raises(client.private_post_order(LIMIT | params))
                assert isinstance(error, kind), f"{code}: {error!r}"
                assert code_of(client) == code, repr(error)

    play(scenario)


def test_ccxt_knows_that_it_asks_too_much(play: Any, keys: Any) -> None:
    weight = Limit("REQUEST_WEIGHT", "MINUTE", 1, 60)
    orders = (Limit("ORDERS", "SECOND", 10, 2),)

    async def scenario(visitor: Any) -> None:
        async with pointed(visitor.server.url, keys[0]) as client:
            client.nonce = lambda: WALL // 10**6
            for _ in range(2):
                await client.private_post_order(dict(LIMIT))
            error = await raises(client.private_post_order(dict(LIMIT)))
            assert isinstance(error, ccxt.DDoSProtection), repr(error)
            assert code_of(client) == -1015
            assert 0 < int(client.last_response_headers["Retry-After"]) <= 10
            seen = []
            while (error := await raises(client.public_get_exchangeinfo())) is None:
                seen.append(client.last_response_headers["X-MBX-USED-WEIGHT-1M"])
            assert len(seen) == 2
            assert code_of(client) == -1003
            while " 418 " not in str(error):
                error = await raises(client.public_get_exchangeinfo())
                assert isinstance(error, ccxt.DDoSProtection), repr(error)
            assert int(client.last_response_headers["Retry-After"]) == 120

    play(scenario, policy=Policy(weight=weight, orders=orders), wall=lambda: WALL)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (
            Fault(-1007, "Timeout waiting for response from backend server.", 504),
            ccxt.RequestTimeout,
        ),
        (Fault(-1006, "An unexpected response was received.", 500), ccxt.OperationFailed),
        (Fault(-1000, "An unknown error occurred.", 400), ccxt.OperationFailed),
    ],
)
def test_what_an_exchange_answers_in_trouble_can_be_played(
    play: Any, keys: Any, fault: Fault, kind: type[Exception]
) -> None:
    async def in_trouble(_call: Any) -> None:
        raise fault

    async def scenario(visitor: Any) -> None:
        async with pointed(visitor.server.url, keys[0]) as client:
            error = await raises(client.private_post_order(dict(LIMIT)))
            assert isinstance(error, kind), repr(error)
            assert visitor.server.exchange.desk.venue.account(1).of("USDT").locked == 0

    play(scenario, hold=in_trouble)


def test_ccxt_pro_watches_the_market(play: Any, keys: Any) -> None:
    async def scenario(visitor: Any) -> None:
        async with pointed(visitor.server.url, keys[0]) as client:
            await client.load_markets()
            trades: dict[str, Any] = {}
            while len(trades) < 30:
                trades |= {each["id"]: each for each in await client.watch_trades(ABC)}
            by_rest = await client.fetch_trades(
                ABC, params={"fetchTradesMethod": "publicGetHistoricalTrades"},
                limit=1_000,
            )  # fmt: skip
            known = {each["id"]: each for each in by_rest}
            for key, each in trades.items():
                assert [each[name] for name in ("timestamp", "price", "amount", "side")] == [
                    known[key][name] for name in ("timestamp", "price", "amount", "side")
                ]
            first, last = min(map(int, trades)), max(map(int, trades))
            assert len(trades) == last - first + 1, "none is left out"

            for _ in range(20):
                book = await client.watch_order_book(ABC)
                assert book["bids"][0][0] < book["asks"][0][0]
            bars = await client.watch_ohlcv(ABC, "1m")
            assert bars[-1][0] % 60_000 == 0
            top = (await client.watch_bids_asks([ABC]))[ABC]
            assert top["bid"] < top["ask"]
            assert (await client.watch_ticker(ABC))["last"] > 0
            both = await client.watch_trades_for_symbols([ABC, "XYZ/USDT"])
            assert both[0]["symbol"] in {ABC, "XYZ/USDT"}
            assert await client.un_watch_trades(ABC)

    play(scenario, clock=None, speed=240.0)


def test_ccxt_pro_watches_its_account(play: Any, keys: Any) -> None:
    async def scenario(visitor: Any) -> None:
        async with pointed(visitor.server.url, keys[0]) as client:
            await client.load_markets()
            price = (await client.fetch_ticker(ABC))["last"]
            await client.ensure_user_data_stream_ws_subscribe_signature("spot")

            async def told(ask: Callable[[], Awaitable[Any]]) -> tuple[Any, Any, Any]:
                """What ccxt.pro tells of an order, its trades and the balances."""
                watching = [
                    asyncio.ensure_future(each)
                    for each in (
                        client.watch_orders(ABC),
                        client.watch_my_trades(ABC),
                        client.watch_balance(),
                    )
                ]
                await asyncio.sleep(0)  # each of them listens before anything happens
                await ask()
                orders, mine, balance = await asyncio.gather(*watching)
                return orders[-1], mine[-1], balance

            bought, mine, balance = await told(
                lambda: client.create_order_ws(ABC, "market", "buy", 2)
            )
            assert (bought["status"], bought["filled"]) == ("closed", 2)
            assert (mine["order"], mine["takerOrMaker"]) == (bought["id"], "taker")
            assert mine["fee"]["currency"] == "BNB"
            assert balance["ABC"]["free"] == 102

            resting = await client.create_order_ws(ABC, "limit", "sell", 1, price * 1.003)
            assert resting["status"] == "open"

            async def until_it_is_filled() -> None:
                while (await client.fetch_order_ws(resting["id"], ABC))["status"] == "open":
                    visitor.step(SECOND)

            sold, mine, balance = await told(until_it_is_filled)
            assert (sold["id"], mine["order"]) == (resting["id"], resting["id"])
            assert (mine["takerOrMaker"], mine["price"]) == ("maker", resting["price"])
            assert mine["timestamp"] <= visitor.now // 1_000, "markets tell market time"

            watching = asyncio.ensure_future(client.watch_balance())
            await asyncio.sleep(0)
            visitor.server.exchange.do(Deposit(1, "XYZ", Decimal("2.5")))
            assert (await watching)["XYZ"]["free"] == 2.5

            limit = await client.create_order_ws(ABC, "limit", "buy", 1, price * 0.9)
            edited = await client.edit_order_ws(limit["id"], ABC, "limit", "buy", 1, price * 0.85)
            opened = await client.fetch_open_orders_ws(ABC)
            assert [each["id"] for each in opened] == [edited["id"]]
            assert (await client.cancel_order_ws(edited["id"], ABC))["status"] == "canceled"
            await client.create_order_ws(ABC, "limit", "buy", 1, price * 0.9)
            assert len(await client.cancel_all_orders_ws(ABC)) == 1
            assert len(await client.fetch_my_trades_ws(ABC)) >= 2
            held = (await client.fetch_balance_ws())["info"]["balances"]  # ccxt reads no more of it
            assert {"asset": "XYZ", "free": "2.50000000", "locked": "0.00000000"} in held
            assert len(await client.fetch_ohlcv_ws(ABC, "1m", limit=2)) == 2
            refused = await raises(client.create_order_ws(ABC, "limit", "buy", 1_500, price * 0.9))
            assert isinstance(refused, ccxt.InsufficientFunds)

    play(scenario)


def test_ccxt_pro_goes_on_when_the_exchange_comes_back(
    setup_of: Any, keys: Any, tmp_path: Path
) -> None:
    async def scenario() -> None:
        first = Server(tmp_path, setup=setup_of(), speed=60.0)
        await first.start()
        async with pointed(first.url, keys[0]) as client:
            await client.load_markets()
            seen = [each["id"] for each in await client.watch_trades(ABC)]
            order = await client.create_order(ABC, "limit", "buy", 1, 80)
            await client.ensure_user_data_stream_ws_subscribe_signature("spot")
            watching = asyncio.ensure_future(client.watch_orders(ABC))
            await asyncio.sleep(0)
            await first.stop()
            assert isinstance(await raises(watching), ccxt.NetworkError)

            port = int(first.url.rpartition(":")[2])
            async with Server(tmp_path, port=port, speed=60.0):
                later = [each["id"] for each in await client.watch_trades(ABC)]
                assert int(later[0]) > int(seen[-1])
                assert (await client.fetch_order(order["id"], ABC))["status"] == "open"
                await client.ensure_user_data_stream_ws_subscribe_signature("spot")
                watching = asyncio.ensure_future(client.watch_orders(ABC))
                await asyncio.sleep(0)
                await client.cancel_order(order["id"], ABC)
                assert (await watching)[-1]["status"] == "canceled"

    asyncio.run(asyncio.wait_for(scenario(), 60))
