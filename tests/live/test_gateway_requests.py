"""What requests say, where they may go, what signs them, and when they are held back."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import pytest

from tests.live.gateway_server import RULES, WrongClock, order
from vostok_core.errors import SettingsError
from vostok_core.trading.commands import Cancel, Place, PlaceList, Replace
from vostok_live.gateway.access import BINANCE, TESTNET, ApiKey, Endpoints
from vostok_live.gateway.port import list_name
from vostok_live.gateway.restraint import Restraint
from vostok_live.gateway.wire import request

ENTRY = order("vlx-1-e", "entry", 1_500, 10_050)
ABOVE = order("vlx-1-t", "take_profit", 1_500, 10_500)
BELOW = order("vlx-1-s", "stop_loss", 1_500, 9_500)
MARKET = order("vlx-2-m", "market", 7)

WIRE: list[tuple[Any, str, dict[str, str]]] = [
    (
        Place(ENTRY),
        "privatePostOrder",
        {
            "side": "BUY", "type": "LIMIT", "quantity": "1.500", "price": "100.50",
            "timeInForce": "IOC", "newClientOrderId": "vlx-1-e", "newOrderRespType": "FULL",
        },
    ),
    (
        Place(MARKET),
        "privatePostOrder",
        {
            "side": "SELL", "type": "MARKET", "quantity": "0.007", "newClientOrderId": "vlx-2-m",
            "newOrderRespType": "FULL",
        },
    ),
    (
        PlaceList(None, ABOVE, BELOW),
        "privatePostOrderListOco",
        {
            "listClientOrderId": "vlx-1-l", "side": "SELL", "quantity": "1.500",
            "aboveType": "LIMIT_MAKER", "aboveClientOrderId": "vlx-1-t", "abovePrice": "105.00",
            "belowType": "STOP_LOSS", "belowClientOrderId": "vlx-1-s", "belowStopPrice": "95.00",
            "newOrderRespType": "FULL",
        },
    ),
    (
        PlaceList(ENTRY, ABOVE, BELOW),
        "privatePostOrderListOtoco",
        {
            "listClientOrderId": "vlx-1-l", "workingType": "LIMIT", "workingSide": "BUY",
            "workingTimeInForce": "IOC", "workingClientOrderId": "vlx-1-e",
            "workingQuantity": "1.500", "workingPrice": "100.50", "pendingSide": "SELL",
            "pendingQuantity": "1.500", "pendingAboveType": "LIMIT_MAKER",
            "pendingAboveClientOrderId": "vlx-1-t", "pendingAbovePrice": "105.00",
            "pendingBelowType": "STOP_LOSS", "pendingBelowClientOrderId": "vlx-1-s",
            "pendingBelowStopPrice": "95.00", "newOrderRespType": "FULL",
        },
    ),
    (
        Replace("vlx-1-s", MARKET),
        "privatePostOrderCancelReplace",
        {
            "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": "vlx-1-s",
            "side": "SELL", "type": "MARKET", "quantity": "0.007", "newClientOrderId": "vlx-2-m",
            "newOrderRespType": "FULL",
        },
    ),
    (Cancel("vlx-1-e"), "privateDeleteOrder", {"origClientOrderId": "vlx-1-e"}),
]  # fmt: skip


@pytest.mark.parametrize(("command", "method", "params"), WIRE)
def test_a_command_is_one_request_with_our_names(
    command: Any, method: str, params: dict[str, str]
) -> None:
    assert request(command, "ABCUSDT", RULES) == (method, {"symbol": "ABCUSDT", **params})


def test_a_list_is_named_after_its_orders() -> None:
    assert {list_name(each.client_order_id) for each in (ENTRY, ABOVE, BELOW)} == {"vlx-1-l"}


# Where they go


@pytest.mark.parametrize(
    ("rest", "ws_api"),
    [
        ("http://127.0.0.1:8731", "ws://127.0.0.1:8731/ws-api/v3"),
        ("http://localhost:1", "ws://[::1]:1/ws-api/v3"),
        ("https://api3.binance.com", "wss://ws-api.binance.com/ws-api/v3"),
        (TESTNET.rest, TESTNET.ws_api),
    ],
)
def test_orders_go_to_the_exchange_or_stay_here(rest: str, ws_api: str) -> None:
    assert len(Endpoints(rest, ws_api).hosts) in (1, 2)


@pytest.mark.parametrize(
    "rest",
    [
        "https://example.com", "https://binance.com.example.com", "https://evilbinance.com",
        "http://api.binance.com", "https://user@api.binance.com", "https://api.binance.com/api",
        "ftp://127.0.0.1", "https://10.0.0.1", "http://0.0.0.0:1", "api.binance.com", "",
        "https://api.binance.com@example.com",
    ],
)  # fmt: skip
def test_orders_go_nowhere_else(rest: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Endpoints(rest, BINANCE.ws_api)
    assert caught.value.hint


@pytest.mark.parametrize(
    "ws_api", ["ws://ws-api.binance.com", "wss://example.com", "https://127.0.0.1"]
)
def test_nor_does_the_stream_come_from_elsewhere(ws_api: str) -> None:
    with pytest.raises(SettingsError):
        Endpoints(BINANCE.rest, ws_api)


def test_a_secret_is_not_shown() -> None:
    assert "hidden" not in repr(ApiKey("hidden key", "hidden secret"))
    for key, secret in (("", "s"), ("k", ""), (" k", "s"), ("k\n", "s")):
        with pytest.raises(SettingsError):
            ApiKey(key, secret)


# ccxt

_SLIM = """
import sys
from vostok_live.gateway.slim import binance
made = binance()
loaded = [name for name in sys.modules if name.startswith("ccxt.")]
assert "ccxt.async_support.kraken" not in loaded and "ccxt.kraken" not in loaded
assert len(loaded) < 60, len(loaded)
assert binance() is made
import ccxt, ccxt.async_support
assert ccxt.async_support.binance is made
assert issubclass(ccxt.NetworkError, ccxt.BaseError)
exchange = made()
assert exchange.has["fetchTime"] and hasattr(exchange, "privatePostOrderListOtoco")
assert ccxt.kraken.__name__ == "kraken"
assert "kraken" in ccxt.exchanges
"""


def test_ccxt_is_imported_without_its_hundred_exchanges_and_stays_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SLIM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# Limits


class Still(WrongClock):
    """A clock that stands 20 s before the end of a minute."""

    def wall_ns(self) -> int:
        return 60_000_000_000 * 7 - 20_000_000_000


def held(restraint: Restraint, now: float) -> tuple[float, float, float]:
    """Seconds that orders, cancels and questions wait."""
    return (
        restraint.held(now, orders=True), restraint.held(now, orders=False), restraint.wait(now)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "headers", "expected"),
    [
        (200, None, {}, (0, 0, 0)),
        (400, -2010, {"Retry-After": "9"}, (0, 0, 0)),
        (429, -1003, {"Retry-After": "9"}, (9, 9, 9)),
        (418, -1003, {"retry-after": "300"}, (300, 300, 300)),
        (429, -1003, {}, (20, 20, 20)),
        (403, None, {}, (20, 20, 20)),
        (429, -1015, {"Retry-After": "9"}, (9, 0, 0)),
        (200, None, {"X-MBX-USED-WEIGHT-1M": "4799"}, (0, 0, 0)),
        (200, None, {"x-mbx-used-weight-1m": "4800"}, (0, 0, 20)),
        (200, None, {"X-MBX-USED-WEIGHT-1M": "many"}, (0, 0, 0)),
    ],
)
def test_the_exchanges_limits_are_kept(
    status: int, code: int | None, headers: dict[str, str], expected: tuple[float, float, float]
) -> None:
    restraint = Restraint(Still())
    restraint.answered(status, code, headers, 100.0)
    assert held(restraint, 100.0) == expected
    assert held(restraint, 101.0) == tuple(max(each - 1, 0) for each in expected)
    longest = max(expected)
    restraint.answered(200, None, {}, 100.0)
    assert max(held(restraint, 100.0)) == longest, "an answer that came late lifts nothing"


def test_a_shorter_wait_does_not_take_the_place_of_a_longer_one() -> None:
    restraint, rng = Restraint(Still()), random.Random(1)
    waits = [rng.randint(1, 500) for _ in range(20)]
    for wait in waits:
        restraint.answered(429, -1003, {"Retry-After": str(wait)}, 0.0)
    assert restraint.held(0.0, orders=False) == max(waits)
